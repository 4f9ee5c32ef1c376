import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { DatabaseConfig } from "../../server/store/connection.js";
import { withDedicatedClient } from "../../server/store/dedicated-client.js";
import { startEmbedded, type EmbeddedPostgres } from "../../server/store/embedded/launch-postgres.js";
import type { PostgresBinaries } from "../../server/store/embedded/postgres-binaries.js";
import { migrate } from "../../server/store/migrate.js";
import { DatabasePool } from "../../server/store/pool.js";

export type PostgresVersion = "18" | "15";

/** A migrated database that nobody else uses. */
export interface TestDatabase {
  /** As the server would be configured; its URL works as DATABASE_URL. */
  readonly config: DatabaseConfig;
  readonly url: string;
  readonly cluster: EmbeddedPostgres;
  /** A pool that is closed when the database is dropped. */
  readonly pool: DatabasePool;
  /** Ends whatever is still connected, and drops it. */
  drop(): Promise<void>;
}

export interface TestDatabaseOptions {
  /** Default: HEADRACE_TEST_POSTGRES, or 18. */
  readonly version?: PostgresVersion;
  /** False: an empty database. Default: true. */
  readonly migrated?: boolean;
  /** Keeps what it commits through a crash, without which a whole server refuses it. Default: false. */
  readonly durable?: boolean;
}

interface Cluster {
  readonly postgres: EmbeddedPostgres;
  readonly admin: DatabaseConfig;
  /** Name of the migrated database that others are copied from, once it is asked for. */
  template: Promise<string> | undefined;
  /** PostgreSQL copies a template only while nobody else does. */
  lastCopy: Promise<unknown>;
}

const DEBIAN_15: PostgresBinaries = { bin: "/usr/lib/postgresql/15/bin", major: 15 };
const clusters = new Map<string, Promise<Cluster>>();

/** Versions at hand on this machine; 18 comes with the installation. */
export function availablePostgres(): PostgresVersion[] {
  return existsSync(join(DEBIAN_15.bin, "postgres")) ? ["18", "15"] : ["18"];
}

/** The version that tests use unless they ask for another. */
export function defaultPostgres(): PostgresVersion {
  const wanted = process.env.HEADRACE_TEST_POSTGRES ?? "18";
  if (wanted !== "18" && wanted !== "15") throw new Error(`HEADRACE_TEST_POSTGRES=${wanted} is not 15 or 18`);
  return wanted;
}

/** A fresh, migrated database for one test, dropped at its end. */
export async function useDatabase(
  t: ExecutionContext,
  options: TestDatabaseOptions = {},
): Promise<TestDatabase> {
  const database = await createDatabase(options);
  t.teardown(() => database.drop());
  return database;
}

/** The same for callers without a test context: they call `drop`. */
export async function createDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const cluster = await useCluster(options.version ?? defaultPostgres(), options.durable === true);
  const name = `t_${randomBytes(6).toString("hex")}`;
  await copyDatabase(cluster, name, options.migrated === false ? "template0" : await templateOf(cluster));
  const config = configFor(cluster.postgres, name);
  const pool = new DatabasePool(config, () => undefined);
  return {
    config,
    url: config.url,
    cluster: cluster.postgres,
    pool,
    drop: async () => {
      await pool.close();
      await administer(cluster, `drop database "${name}" with (force)`);
    },
  };
}

/** The cluster of this process; it starts with the first use and ends with the process. */
function useCluster(version: PostgresVersion, durable: boolean): Promise<Cluster> {
  const key = `${version} ${durable}`;
  const running = clusters.get(key) ?? startCluster(version, durable);
  clusters.set(key, running);
  return running;
}

async function startCluster(version: PostgresVersion, durable: boolean): Promise<Cluster> {
  const directory = await makeTestDirectory();
  const postgres = await startEmbedded({
    dataDir: join(directory, "postgres"),
    fsync: durable,
    log: () => undefined,
    settings: { shared_buffers: "32MB", max_connections: "300" },
    ...(version === "15" ? { binaries: DEBIAN_15 } : {}),
  });
  return {
    postgres,
    admin: configFor(postgres, "postgres"),
    template: undefined,
    lastCopy: Promise.resolve(),
  };
}

/**
 * A directory for a test's PostgreSQL. A watcher outside of this process stops what runs in it and
 * removes it when this process ends, in whatever way that happens.
 */
export async function makeTestDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "headrace-test-"));
  await chmod(directory, 0o755);
  const watcher = spawn("/bin/sh", ["-c", WATCH_AND_CLEAN, "sh", directory], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    cwd: "/",
  });
  watcher.unref();
  // The pipe closes with this process. It must not keep it alive.
  (watcher.stdin as unknown as { unref(): void }).unref();
  return directory;
}

/** `$1` is the directory; data directories may lie anywhere below. `read` returns when the pipe closes. */
const WATCH_AND_CLEAN = `
  trap '' INT TERM HUP
  while read -r line; do :; done
  find "$1" -name postmaster.pid | while read -r file; do
    pid=$(head -n 1 "$file")
    kill -QUIT "$pid"
    while kill -0 "$pid"; do sleep 0.05; done
  done
  rm -rf "$1"
`;

function templateOf(cluster: Cluster): Promise<string> {
  cluster.template ??= makeTemplate(cluster);
  return cluster.template;
}

async function makeTemplate(cluster: Cluster): Promise<string> {
  const name = "migrated";
  await copyDatabase(cluster, name, "template0");
  await migrate(configFor(cluster.postgres, name), { log: () => undefined, allowUnsafeDurability: true });
  return name;
}

async function copyDatabase(cluster: Cluster, name: string, template: string): Promise<void> {
  const copy = cluster.lastCopy.then(() =>
    administer(cluster, `create database "${name}" template "${template}"`),
  );
  cluster.lastCopy = copy.catch(() => undefined);
  await copy;
}

async function administer(cluster: Cluster, text: string): Promise<void> {
  await withDedicatedClient(cluster.admin, { purpose: "test" }, (query) => query({ text }));
}

/** Settings as a server would have them, for a database of a cluster. */
export function configFor(postgres: Pick<EmbeddedPostgres, "url">, database: string): DatabaseConfig {
  return {
    url: postgres.url.replace("postgres:///postgres?", `postgres:///${database}?`),
    poolMax: 4,
    poolMin: 0,
    connectTimeoutMs: 5_000,
    acquireTimeoutMs: 5_000,
    idleTimeoutMs: 10_000,
    applicationName: "headrace test",
    pipeline: true,
  };
}
