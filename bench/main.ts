import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ArgumentError, parseArguments, USAGE, type Arguments } from "./arguments.js";
import { STATEMENTS_FILE, type StatementRow } from "./database.js";
import { readMachine } from "./machine.js";
import { profilesText } from "./profile.js";
import { figuresText, machineText, ratioText, resultJson, scenariosText, statementsText } from "./report.js";
import { runScenario, type ScenarioResult } from "./run-scenario.js";
import type { Scenario } from "./scenario.js";
import { SCENARIOS } from "./scenarios.js";

const EXIT = { failed: 1, usage: 2, interrupted: 130 } as const;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  try {
    return await run(parseArguments(argv, SCENARIOS));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return EXIT.usage;
  }
}

async function run(args: Arguments): Promise<number> {
  if (args.show !== undefined) {
    write(args.show === "help" ? USAGE : scenariosText(args.scenarios));
    return 0;
  }
  const signal = listenForInterrupts();
  const machine = readMachine();
  write(machineText(machine));
  const results: ScenarioResult[] = [];
  for (const scenario of args.scenarios) {
    const result = await measure(scenario, args, signal);
    if (signal.aborted) return EXIT.interrupted;
    if (result !== undefined) results.push(result);
  }
  write(ratioText(results));
  if (args.jsonFile !== undefined) await writeFile(args.jsonFile, resultJson(results, machine, args.size));
  return results.length === args.scenarios.length ? 0 : EXIT.failed;
}

/** Runs a scenario and prints its figures, or why there are none. */
async function measure(
  scenario: Scenario,
  { size, profileDir }: Arguments,
  signal: AbortSignal,
): Promise<ScenarioResult | undefined> {
  const directory = profileDir === undefined ? undefined : join(profileDir, scenario.name);
  const note = (message: string): void => console.error(message);
  try {
    if (directory !== undefined) await mkdir(directory, { recursive: true });
    const result = await runScenario(scenario, { size, profileDir: directory, note }, signal);
    write(figuresText(result));
    if (directory !== undefined) await showProfiles(directory);
    return result;
  } catch (error) {
    if (!signal.aborted) console.error(`\n${scenario.name} failed:`, error);
    return undefined;
  }
}

async function showProfiles(directory: string): Promise<void> {
  write(profilesText(directory));
  const statements = await readFile(join(directory, STATEMENTS_FILE), "utf8");
  write(statementsText(JSON.parse(statements) as StatementRow[]));
}

function write(text: string): void {
  process.stdout.write(text);
}

/** The first interrupt ends the scenario in order; another one does not wait. */
function listenForInterrupts(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort(new Error("It was interrupted"));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return controller.signal;
}
