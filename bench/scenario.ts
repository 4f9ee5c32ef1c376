import type { CleanUp } from "./clean-up.js";
import type { Figure } from "./figure.js";

/** How much is measured: for figures to compare, for a look within a minute, for a test of the benchmark. */
export type Size = "full" | "quick" | "tiny";

/** What a scenario gets to run. */
export interface RunContext {
  readonly size: Size;
  /** Where profiles go; undefined: none are taken. */
  readonly profileDir: string | undefined;
  readonly cleanUp: CleanUp;
  /** Tells what goes on, for people. */
  readonly note: (message: string) => void;
}

/** One thing that is measured. */
export interface Scenario {
  readonly name: string;
  /** One line for the list of scenarios. */
  readonly summary: string;
  /** Rejects when something went wrong or a result was not right; there are no figures then. */
  run(context: RunContext): Promise<readonly Figure[]>;
}
