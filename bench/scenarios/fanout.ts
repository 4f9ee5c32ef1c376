import { checkExecutions } from "../check.js";
import { figureOf, type Figure } from "../figure.js";
import type { RunContext, Scenario, Size } from "../scenario.js";
import { startStack } from "../stack.js";
import { CAN_READ_USAGE, peakRssBytesOf } from "../usage.js";

const SIZES: Record<Size, { width: number; warmUp: number; rounds: number }> = {
  full: { width: 9_998, warmUp: 2, rounds: 7 },
  quick: { width: 9_998, warmUp: 1, rounds: 3 },
  tiny: { width: 198, warmUp: 1, rounds: 2 },
};

/** One wide graph: how fast its tasks run, and what the server needs for it. */
export const fanout: Scenario = {
  name: "fanout",
  summary: "tasks a second of one graph with 10,000 tasks: one, then 9,998 side by side, then one",
  run,
};

async function run(context: RunContext): Promise<Figure[]> {
  const { width, warmUp, rounds } = SIZES[context.size];
  const { database, server, load } = await startStack(context, { kind: "fanout", width });
  await load.call("serially", { count: warmUp });
  const tasks = width + 2;
  const times = await load.call("serially", { count: rounds });
  const peakBytes = peakRssBytesOf(server.pid);
  await checkExecutions(database, { executions: warmUp + rounds, tasksEach: tasks });
  return [
    figureOf(
      "fanout_tasks_per_s",
      "1/s",
      times.map((ms) => (1_000 * tasks) / ms),
    ),
    ...(CAN_READ_USAGE ? [figureOf("fanout_server_rss_mb", "MB", [peakBytes / 1e6])] : []),
  ];
}
