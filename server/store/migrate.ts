import { setTimeout as sleep } from "node:timers/promises";
import knex, { type Knex } from "knex";
import { HeadraceError } from "../core/errors.js";
import type { Query } from "./client-work.js";
import { clientConfig, schemaOf, type DatabaseConfig } from "./connection.js";
import { withDedicatedClient } from "./dedicated-client.js";
import { migrationSource, readMigrations, type MigrationFile } from "./migration-files.js";
import { checkServer, type ServerCheckOptions } from "./server-check.js";

/** How to migrate. */
export interface MigrateOptions extends ServerCheckOptions {
  /** Where the migrations are. Default: those of this program. */
  readonly directory?: URL;
}

const TABLE = "migrations";
const LOCK_POLL_MS = 100;
const LOCK_TIMEOUT_MS = 10_000;

/**
 * Brings the schema to what this program needs and answers the migrations that it ran. Safe to call
 * from several servers at once: one works, the others wait and find nothing to do. All pending
 * migrations run in one transaction. Throws DATABASE_UNUSABLE when the server is too old or not
 * durable, or when a newer program has migrated the schema.
 */
export async function migrate(config: DatabaseConfig, options: MigrateOptions): Promise<readonly string[]> {
  const files = readMigrations(options.directory);
  const schema = schemaOf(config);
  const use = { purpose: "migrate", statementTimeoutMs: 0, lockTimeoutMs: 0 };
  return withDedicatedClient(config, use, async (query) => {
    await checkServer(query, options);
    await takeLock(query, schema, options.log);
    await createSchema(query, schema);
    const pending = await findPending(query, schema, files);
    if (pending.length === 0) return [];
    options.log(`Migrating schema ${schema}: ${pending.join(", ")}`);
    await runMigrations(config, files);
    return pending;
  });
}

/** Migrations that `migrate` would run, in their order. Changes nothing; throws as `migrate` does. */
export async function pendingMigrations(
  config: DatabaseConfig,
  options: MigrateOptions,
): Promise<readonly string[]> {
  const files = readMigrations(options.directory);
  return withDedicatedClient(config, { purpose: "migrate" }, async (query) => {
    await checkServer(query, options);
    return findPending(query, schemaOf(config), files);
  });
}

/**
 * Takes the lock of this schema until the connection closes. Asks again and again rather than
 * waiting inside PostgreSQL, because a statement that waits holds a snapshot, and a migration that
 * creates an index concurrently would wait for that snapshot in turn.
 */
async function takeLock(query: Query, schema: string, log: (message: string) => void): Promise<void> {
  const statement = { text: "select pg_try_advisory_lock(hashtextextended($1, 0)) as taken" };
  for (let tries = 0; ; tries += 1) {
    const { rows } = await query<{ taken: boolean }>(statement, [`headrace migrate ${schema}`]);
    if (rows[0]?.taken === true) return;
    if (tries === 0) log(`Another server is migrating schema ${schema}; waiting for it`);
    await sleep(LOCK_POLL_MS);
  }
}

async function createSchema(query: Query, schema: string): Promise<void> {
  const existing = await query({ text: "select from pg_namespace where nspname = $1" }, [schema]);
  // IF NOT EXISTS would ask for the right to create schemas even where there is nothing to create.
  if (existing.rows.length === 0) await query({ text: `create schema "${schema}"` });
}

async function findPending(
  query: Query,
  schema: string,
  files: readonly MigrationFile[],
): Promise<readonly string[]> {
  const table = await query<{ found: boolean }>({ text: "select to_regclass($1) is not null as found" }, [
    `"${schema}"."${TABLE}"`,
  ]);
  const applied =
    table.rows[0]?.found === true
      ? (await query<{ name: string }>({ text: `select name from "${schema}"."${TABLE}"` })).rows
      : [];
  const known = new Set(files.map((file) => file.name));
  const unknown = applied.map((row) => row.name).filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new HeadraceError(
      "DATABASE_UNUSABLE",
      `Schema ${schema} is newer than this program, which does not know ${unknown.join(", ")}. Run the version that migrated it, or a newer one.`,
    );
  }
  const done = new Set(applied.map((row) => row.name));
  return files.map((file) => file.name).filter((name) => !done.has(name));
}

async function runMigrations(config: DatabaseConfig, files: readonly MigrationFile[]): Promise<void> {
  const settings = clientConfig(config, {
    purpose: "migrate",
    statementTimeoutMs: 0,
    lockTimeoutMs: LOCK_TIMEOUT_MS,
  });
  const database = knex({
    client: "pg",
    // As a function, because knex would clone an object and lose the functions in it.
    connection: () => settings as Knex.PgConnectionConfig,
    pool: { min: 0, max: 1 },
    // What fails is thrown; knex would also print it.
    log: { error: () => undefined, warn: () => undefined },
    migrations: {
      migrationSource: migrationSource(files),
      tableName: TABLE,
      schemaName: schemaOf(config),
    },
  });
  try {
    // Our own lock is held, so a lock row that says otherwise was left by a process that died.
    await database.migrate.forceFreeMigrationsLock();
    await database.migrate.latest();
  } finally {
    await database.destroy();
  }
}
