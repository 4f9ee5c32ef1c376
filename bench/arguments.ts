import { nearest } from "../server/core/nearest.js";
import type { Scenario } from "./scenario.js";

/** What the user asked for. */
export interface Arguments {
  readonly scenarios: readonly Scenario[];
  readonly size: "full" | "quick";
  /** File to write the figures to. */
  readonly jsonFile: string | undefined;
  /** Directory for profiles. */
  readonly profileDir: string | undefined;
  /** Print this and do nothing. */
  readonly show: "help" | "scenarios" | undefined;
}

/** A mistake on the command line. */
export class ArgumentError extends Error {}

export const USAGE = `npm run bench -- [options] [scenario ...]

Runs the scenarios, by default all of them, and prints what they measured.

  --json FILE     also write the figures to a file
  --quick         less of everything: about a minute for all scenarios
  --profile DIR   take CPU profiles and the statistics of SQL statements; the figures are then lower
  --scenarios     list the scenarios
  --help          this text
`;

const WITH_VALUE = ["--json", "--profile"];
const FLAGS = ["--quick", "--scenarios", "--help"];

/** Throws ArgumentError, which names what is most likely meant, for whatever it does not know. */
export function parseArguments(args: readonly string[], scenarios: readonly Scenario[]): Arguments {
  const values = new Map<string, string>();
  const chosen: Scenario[] = [];
  for (let index = 0; index < args.length; index++) {
    const [name = "", ...rest] = (args[index] ?? "").split("=");
    const inline = rest.length > 0 ? rest.join("=") : undefined;
    if (!name.startsWith("-")) chosen.push(findScenario(args[index] ?? "", scenarios));
    else if (WITH_VALUE.includes(name)) values.set(name, valueOf(name, inline ?? args[++index]));
    else if (FLAGS.includes(name) && inline === undefined) values.set(name, "");
    else throw unknownOption(args[index] ?? "", name);
  }
  return {
    scenarios: chosen.length === 0 ? scenarios : scenarios.filter((scenario) => chosen.includes(scenario)),
    size: values.has("--quick") ? "quick" : "full",
    jsonFile: values.get("--json"),
    profileDir: values.get("--profile"),
    show: values.has("--help") ? "help" : values.has("--scenarios") ? "scenarios" : undefined,
  };
}

function findScenario(name: string, scenarios: readonly Scenario[]): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name);
  if (found !== undefined) return found;
  const names = scenarios.map((scenario) => scenario.name);
  throw new ArgumentError(
    `There is no scenario "${name}".${hint(name, names)} Scenarios: ${names.join(", ")}.`,
  );
}

function valueOf(option: string, value: string | undefined): string {
  if (value !== undefined && value !== "" && !value.startsWith("-")) return value;
  throw new ArgumentError(`${option} needs a path after it.`);
}

function unknownOption(argument: string, name: string): ArgumentError {
  if (FLAGS.includes(name)) return new ArgumentError(`${name} takes no value: ${argument}`);
  const known = [...WITH_VALUE, ...FLAGS];
  return new ArgumentError(`There is no option ${name}.${hint(name, known)} Options: ${known.join(", ")}.`);
}

function hint(word: string, known: readonly string[]): string {
  const found = nearest(word, known);
  return found === undefined ? "" : ` Did you mean ${found}?`;
}
