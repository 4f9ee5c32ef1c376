import { SETTINGS } from "../../server/config/settings.js";
import { migrate } from "../../server/store/migrate.js";
import { checkExecutions } from "../check.js";
import { startDatabase } from "../database.js";
import { figureOf, type Figure } from "../figure.js";
import type { FloorCalls } from "../floor-process.js";
import type { RunContext, Scenario, Size } from "../scenario.js";
import { startHelper } from "../stack.js";
import { CAN_READ_USAGE, cpuMsOf, familyCpuMsOf } from "../usage.js";
import { measureWindows } from "../windows.js";

/** Half of the commands that a lane commits at most: as many starts as completions. */
const BATCH = 500;

const SIZES: Record<Size, { batch: number; warmUpMs: number; windowMs: number; windows: number }> = {
  full: { batch: BATCH, warmUpMs: 8_000, windowMs: 8_000, windows: 5 },
  quick: { batch: BATCH, warmUpMs: 3_000, windowMs: 3_000, windows: 3 },
  tiny: { batch: 20, warmUpMs: 200, windowMs: 300, windows: 2 },
};

/** What PostgreSQL alone makes possible: the upper bound of `single` on the same machine. */
export const floor: Scenario = {
  name: "floor",
  summary: "the same rows in the same statements as `single`, written without a server: its upper bound",
  run,
};

async function run(context: RunContext): Promise<Figure[]> {
  const { batch, ...windows } = SIZES[context.size];
  const database = await startDatabase(context);
  await migrate(database.config, { log: () => undefined });
  const writer = startHelper<FloorCalls>(context, "floor-process");
  const lanes = Number(SETTINGS.lanes.default);
  await writer.call("begin", { config: database.config, lanes, batch });
  const facts = await measureWindows({
    ...windows,
    mark: () => writer.call("mark"),
    meters: {
      postgres: () => familyCpuMsOf(database.pid),
      client: () => cpuMsOf(writer.pid),
    },
  });
  const executions = await writer.call("stop");
  await checkExecutions(database, { executions, tasksEach: 1 });
  const coresOf = (name: string): number[] => facts.map(({ cores }) => cores[name] ?? Number.NaN);
  return [
    figureOf(
      "pg_floor_per_s",
      "1/s",
      facts.map(({ perSecond }) => perSecond),
    ),
    ...(CAN_READ_USAGE
      ? [
          figureOf("floor_postgres_cpu", "cores", coresOf("postgres")),
          figureOf("floor_client_cpu", "cores", coresOf("client")),
        ]
      : []),
  ];
}
