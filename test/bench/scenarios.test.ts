import test from "ava";
import { runScenario } from "../../bench/run-scenario.js";
import { SCENARIOS } from "../../bench/scenarios.js";

/** The figures that others rely on, by scenario. */
const FIGURES: Readonly<Record<string, readonly string[]>> = {
  floor: ["pg_floor_per_s"],
  single: ["single_per_s"],
  latency: ["start_to_result_p50_ms", "start_to_result_p99_ms"],
  chain: ["hop_p50_ms", "hop_p99_ms"],
  fanout: ["fanout_tasks_per_s"],
};

for (const scenario of SCENARIOS) {
  test.serial(`the scenario ${scenario.name} runs and its results are right`, async (t) => {
    t.timeout(60_000);
    const notes: string[] = [];
    const options = {
      size: "tiny",
      profileDir: undefined,
      note: (text: string) => notes.push(text),
    } as const;
    const { figures } = await runScenario(scenario, options, new AbortController().signal);
    const names = figures.map(({ name }) => name);
    for (const name of FIGURES[scenario.name] ?? ["the figures are listed here"])
      t.true(names.includes(name), name);
    for (const { name, value } of figures)
      t.true(value >= 0 && Number.isFinite(value), `${name} is ${value}`);
    t.deepEqual(notes, [], "the server had nothing to warn of");
  });
}
