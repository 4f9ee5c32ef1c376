import { checkExecutions } from "../check.js";
import { figuresOf, type Figure } from "../figure.js";
import type { RunContext, Scenario, Size } from "../scenario.js";
import { startStack } from "../stack.js";
import { percentile } from "../statistics.js";

const PER_SECOND = 100;

const SIZES: Record<Size, { warmUp: number; count: number; rounds: number }> = {
  full: { warmUp: 500, count: 2_000, rounds: 5 },
  quick: { warmUp: 200, count: 400, rounds: 2 },
  tiny: { warmUp: 10, count: 40, rounds: 2 },
};

/** How long one task takes from its start to its result when the server is not busy. */
export const latency: Scenario = {
  name: "latency",
  summary: `from start to result of one task, at ${PER_SECOND} starts a second`,
  run,
};

async function run(context: RunContext): Promise<Figure[]> {
  const { warmUp, count, rounds } = SIZES[context.size];
  const { database, load } = await startStack(context, { kind: "single" });
  const found: Array<Record<"start_to_result_p50_ms" | "start_to_result_p99_ms", number>> = [];
  for (let round = 0; round < rounds; round++) {
    const times = await load.call("paced", { perSecond: PER_SECOND, warmUp, count });
    found.push({
      start_to_result_p50_ms: percentile(times, 0.5),
      start_to_result_p99_ms: percentile(times, 0.99),
    });
  }
  await checkExecutions(database, { executions: rounds * (warmUp + count), tasksEach: 1 });
  return figuresOf({ start_to_result_p50_ms: "ms", start_to_result_p99_ms: "ms" }, found);
}
