import { checkExecutions } from "../check.js";
import { figuresOf, type Figure } from "../figure.js";
import type { RunContext, Scenario, Size } from "../scenario.js";
import { startStack } from "../stack.js";
import { percentile } from "../statistics.js";

const LENGTH = 20;

const SIZES: Record<Size, { warmUp: number; count: number; rounds: number }> = {
  full: { warmUp: 100, count: 200, rounds: 5 },
  quick: { warmUp: 30, count: 50, rounds: 2 },
  tiny: { warmUp: 1, count: 5, rounds: 2 },
};

/** How long it takes from one task of a chain to the next. */
export const chain: Scenario = {
  name: "chain",
  summary: `time for one hop in a chain of ${LENGTH} tasks, one chain at a time`,
  run,
};

async function run(context: RunContext): Promise<Figure[]> {
  const { warmUp, count, rounds } = SIZES[context.size];
  const { database, load } = await startStack(context, { kind: "chain", length: LENGTH });
  await load.call("serially", { count: warmUp });
  const found: Array<Record<"hop_p50_ms" | "hop_p99_ms", number>> = [];
  for (let round = 0; round < rounds; round++) {
    const times = await load.call("serially", { count });
    found.push({
      hop_p50_ms: percentile(times, 0.5) / LENGTH,
      hop_p99_ms: percentile(times, 0.99) / LENGTH,
    });
  }
  await checkExecutions(database, { executions: warmUp + rounds * count, tasksEach: LENGTH });
  return figuresOf({ hop_p50_ms: "ms", hop_p99_ms: "ms" }, found);
}
