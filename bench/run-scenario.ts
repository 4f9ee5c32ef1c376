import { CleanUp } from "./clean-up.js";
import { watchOthers } from "./disturbance.js";
import type { Figure } from "./figure.js";
import type { RunContext, Scenario } from "./scenario.js";

/** What a scenario measured, and under which circumstances. */
export interface ScenarioResult {
  readonly scenario: Scenario;
  readonly figures: readonly Figure[];
  /** Cores that other programs kept busy meanwhile, on average. */
  readonly othersCpu: number | undefined;
}

/**
 * Runs one scenario and leaves nothing behind, neither processes nor files, however it ends. The
 * signal ends it early, with its reason.
 */
export async function runScenario(
  scenario: Scenario,
  options: Omit<RunContext, "cleanUp">,
  signal: AbortSignal,
): Promise<ScenarioResult> {
  const readOthers = watchOthers();
  const cleanUp = new CleanUp();
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  const running = scenario.run({ ...options, cleanUp });
  let figures: readonly Figure[];
  try {
    signal.throwIfAborted();
    figures = await Promise.race([running, interrupted]);
  } finally {
    await cleanUp.run();
    // What an interrupted scenario was opening is closed too, once its processes have gone.
    await running.catch(() => undefined);
    await cleanUp.run();
  }
  return { scenario, figures, othersCpu: readOthers() };
}
