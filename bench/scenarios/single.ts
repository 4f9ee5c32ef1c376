import { checkExecutions } from "../check.js";
import { figureOf, type Figure } from "../figure.js";
import type { RunContext, Scenario, Size } from "../scenario.js";
import { startStack } from "../stack.js";
import { CAN_READ_USAGE, cpuMsOf, familyCpuMsOf, peakRssBytesOf } from "../usage.js";
import { measureWindows, type WindowFacts } from "../windows.js";

const SIZES: Record<Size, { inFlight: number; warmUpMs: number; windowMs: number; windows: number }> = {
  full: { inFlight: 4_000, warmUpMs: 8_000, windowMs: 8_000, windows: 5 },
  quick: { inFlight: 4_000, warmUpMs: 3_000, windowMs: 3_000, windows: 3 },
  tiny: { inFlight: 50, warmUpMs: 200, windowMs: 300, windows: 2 },
};

/** How many one-task executions a second: started, run by a remote worker, result at the client. */
export const single: Scenario = {
  name: "single",
  summary: "one-task executions a second, from the start to the result at the client",
  run,
};

async function run(context: RunContext): Promise<Figure[]> {
  const { inFlight, ...windows } = SIZES[context.size];
  const { database, server, worker, load } = await startStack(context, { kind: "single" });
  await load.call("saturate", { inFlight });
  const facts = await measureWindows({
    ...windows,
    mark: () => load.call("mark"),
    meters: {
      server: () => cpuMsOf(server.pid),
      postgres: () => familyCpuMsOf(database.pid),
      worker: () => cpuMsOf(worker.pid),
      client: () => cpuMsOf(load.pid),
    },
  });
  const executions = await load.call("stop");
  const peakBytes = peakRssBytesOf(server.pid);
  await checkExecutions(database, { executions, tasksEach: 1 });
  return [
    figureOf(
      "single_per_s",
      "1/s",
      facts.map(({ perSecond }) => perSecond),
    ),
    ...(CAN_READ_USAGE ? [figureOf("server_rss_mb", "MB", [peakBytes / 1e6]), ...cpuFigures(facts)] : []),
  ];
}

/** Who uses the CPU: how much of it at a time, and how much for one execution, which other programs disturb less. */
function cpuFigures(facts: readonly WindowFacts[]): Figure[] {
  const names = ["server", "postgres", "worker", "client"];
  const coresOf = (name: string): number[] => facts.map(({ cores }) => cores[name] ?? Number.NaN);
  const microsOf = (name: string): number[] =>
    facts.map(({ cores, perSecond }) => (1e6 * (cores[name] ?? Number.NaN)) / perSecond);
  return [
    ...names.map((name) => figureOf(`single_${name}_cpu`, "cores", coresOf(name))),
    ...names.map((name) => figureOf(`single_${name}_cpu_us`, "µs each", microsOf(name))),
  ];
}
