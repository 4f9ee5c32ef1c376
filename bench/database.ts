import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseConfig } from "../server/store/connection.js";
import { withDedicatedClient } from "../server/store/dedicated-client.js";
import { startEmbedded } from "../server/store/embedded/launch-postgres.js";
import type { RunContext } from "./scenario.js";

/** A PostgreSQL of its own for one scenario, as durable as in production. */
export interface BenchDatabase {
  readonly config: DatabaseConfig;
  /** Of the process whose children do the work. */
  readonly pid: number;
}

/** Every setting beyond these is what `headrace dev` runs with. */
const DURABLE = { fsync: "on", synchronous_commit: "on", full_page_writes: "on" };
const PROFILED = {
  shared_preload_libraries: "pg_stat_statements",
  "pg_stat_statements.track_planning": "on",
  track_io_timing: "on",
  track_wal_io_timing: "on",
};
const CHECK_TIMEOUT_MS = 60_000;

/** File in the directory of profiles, with a list of StatementRow. */
export const STATEMENTS_FILE = "statements.json";

/** What one SQL statement cost over a scenario. Times are PostgreSQL's own. */
export interface StatementRow {
  readonly calls: number;
  readonly rows: number;
  readonly exec_ms: number;
  readonly plan_ms: number;
  readonly us_per_row: number;
  readonly wal_mb: number;
  readonly statement: string;
}

/** Starts PostgreSQL on a new directory, which is removed with it. */
export async function startDatabase({ cleanUp, profileDir }: RunContext): Promise<BenchDatabase> {
  const directory = await mkdtemp(join(tmpdir(), "headrace-bench-"));
  cleanUp.add(() => rm(directory, { recursive: true, force: true }));
  // PostgreSQL does not run as root; the account that it then takes must get to its data.
  await chmod(directory, 0o755);
  const postgres = await startEmbedded({
    dataDir: join(directory, "postgres"),
    log: () => undefined,
    settings: profileDir === undefined ? DURABLE : { ...DURABLE, ...PROFILED },
  });
  cleanUp.add(() => postgres.stop());
  const config: DatabaseConfig = {
    url: postgres.url,
    poolMin: 0,
    poolMax: 2,
    connectTimeoutMs: 10_000,
    acquireTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    applicationName: "bench",
    pipeline: true,
  };
  if (profileDir !== undefined) {
    await readRows(config, "create extension pg_stat_statements schema public");
    cleanUp.add(() => writeStatements(config, profileDir));
  }
  return { config, pid: postgres.pid };
}

/** Rows of one statement, in the schema of the server. */
export function readRows<Row extends object>(config: DatabaseConfig, text: string): Promise<Row[]> {
  const use = { purpose: "check", statementTimeoutMs: CHECK_TIMEOUT_MS };
  return withDedicatedClient(
    config,
    use,
    async (query) => (await query<Row & Record<string, unknown>>({ text })).rows,
  );
}

/** Where PostgreSQL's time went, by statement, most first. */
const STATEMENTS = `
  select
    calls::float8 as calls,
    rows::float8 as rows,
    round(total_exec_time)::float8 as exec_ms,
    round(total_plan_time)::float8 as plan_ms,
    round((1000 * total_exec_time / greatest(rows, 1))::numeric, 1)::float8 as us_per_row,
    round(wal_bytes / 1e6, 1)::float8 as wal_mb,
    left(regexp_replace(query, '\\s+', ' ', 'g'), 80) as statement
  from public.pg_stat_statements
  where calls > 0
  order by total_exec_time + total_plan_time desc
  limit 15`;

/** Writes the statistics beside the CPU profiles. */
async function writeStatements(config: DatabaseConfig, directory: string): Promise<void> {
  const rows = await readRows<StatementRow>(config, STATEMENTS);
  await writeFile(join(directory, STATEMENTS_FILE), `${JSON.stringify(rows, null, 2)}\n`);
}
