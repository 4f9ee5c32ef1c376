import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import type { Config } from "./config.js";
import { DEFAULT_LIMITS, type Limits } from "./core/limits.js";
import { RunningEngine } from "./engine/engine.js";
import type { Log } from "./engine/log.js";
import { DEFAULT_WORKER_SETTINGS, type WorkerSettings } from "./engine/worker-settings.js";
import { HttpServer } from "./http/http-server.js";
import type { DatabaseConfig } from "./store/connection.js";
import { startEmbedded } from "./store/embedded/launch-postgres.js";
import { acquireOwnerLock } from "./store/embedded/owner-lock.js";
import { migrate, pendingMigrations } from "./store/migrate.js";
import { openStores, type Stores } from "./store/open-stores.js";
import { waitForDatabase } from "./store/wait-for-database.js";
import { createLogger } from "./telemetry/logger.js";
import type { TlsFiles } from "./transport/certificates.js";
import { startEdge, type Edge } from "./transport/server-edge.js";

const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };

/** A server that accepts calls. */
export interface RunningServer {
  /** host:port on which it listens. */
  readonly address: string;
  /** Drains and stops; resolves when nothing of it is left. */
  stop(): Promise<void>;
}

/** The PostgreSQL that belongs to `headrace dev`, with the data directory held for this process alone. */
export interface DevDatabase {
  readonly url: string;
  /** Tells others that want the same data where the server answers. */
  setAddress(address: string): Promise<void>;
  /** Calls when PostgreSQL ended without having been stopped. */
  onExit(listener: (reason: string) => void): void;
  /** Stops PostgreSQL and lets others use the data. */
  stop(): Promise<void>;
}

/** What the commands of the server start, loaded only when one of them runs. */
export interface ServerParts {
  /** The log as the settings want it. */
  createLog(config: Config, stream: NodeJS.WriteStream, color: boolean): Log;
  startServer(config: Config, log: Log): Promise<RunningServer>;
  startDevDatabase(dataDir: string, log: Log): Promise<DevDatabase>;
  /** Answers the names of the migrations that it ran. */
  migrate(config: Config, log: Log): Promise<readonly string[]>;
  pendingMigrations(config: Config, log: Log): Promise<readonly string[]>;
}

/** The parts of a server, wired together; what the commands of the CLI start. */
export const serverParts: ServerParts = {
  createLog: ({ logLevel: level, logFormat: format }, stream, color) =>
    createLogger({ level, format, color }, stream),
  startServer,
  startDevDatabase,
  migrate: (config, log) => whenThere(config, log, migrate),
  pendingMigrations: (config, log) => whenThere(config, log, pendingMigrations),
};

/** Waits for the database, then works on its schema. */
async function whenThere(config: Config, log: Log, work: typeof migrate): Promise<readonly string[]> {
  const database = databaseConfig(config);
  await waitForDatabase(database, { log: teller(log) });
  return await work(database, { log: teller(log) });
}

/**
 * How far the old generation may outgrow what lives in it before V8 collects. By default it is up to
 * four times, and the garbage of a busy server doubles its memory; at 120 percent throughput stays the
 * same within the noise of the benchmarks.
 */
const HEAP_GROWING_PERCENT = 120;

async function startServer(config: Config, log: Log): Promise<RunningServer> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const database = databaseConfig(config);
  await waitForDatabase(database, { log: teller(log) });
  await migrate(database, { log: teller(log) });
  const stores = openStores(database, { lanes: config.lanes, notify: config.notify, log: teller(log) });
  try {
    const engine = openEngine(config, stores, log);
    const edge = await openEdge(config, engine, log);
    await engine.start(edge.address);
    return { address: edge.address, stop: () => stopServer(config, { edge, engine, stores }) };
  } catch (error) {
    await stores.close();
    throw error;
  }
}

async function stopServer(
  config: Config,
  { edge, engine, stores }: { edge: Edge; engine: RunningEngine; stores: Stores },
): Promise<void> {
  await edge.drain(config.drainGraceMs);
  await engine.stop();
  await edge.close();
  await stores.close();
}

function openEngine(config: Config, stores: Stores, log: Log): RunningEngine {
  return new RunningEngine({
    stores,
    notify: stores.notify,
    limits: limitsOf(config),
    workers: workerSettings(config),
    lanes: config.lanes,
    stateCacheBytes: config.stateCacheBytes,
    replicaLeaseMs: config.leaseMs,
    version,
    log,
  });
}

function openEdge(config: Config, engine: RunningEngine, log: Log): Promise<Edge> {
  return startEdge({
    engine,
    limits: limitsOf(config),
    listen: { host: config.host, port: config.port },
    tls: tlsFiles(config),
    insecure: config.insecure,
    log,
    version,
    createHttp: (parts) => new HttpServer(parts),
  });
}

function tlsFiles({
  tlsCertFile: certFile,
  tlsKeyFile: keyFile,
  tlsClientCaFile,
}: Config): TlsFiles | undefined {
  if (certFile === undefined || keyFile === undefined) return undefined;
  return tlsClientCaFile === undefined
    ? { certFile, keyFile }
    : { certFile, keyFile, clientCaFile: tlsClientCaFile };
}

/** The PostgreSQL of `headrace dev`, in a directory that this process has alone. */
async function startDevDatabase(dataDir: string, log: Log): Promise<DevDatabase> {
  const lock = await acquireOwnerLock(dataDir);
  try {
    const postgres = await startEmbedded({ dataDir: `${dataDir}/postgres`, log: teller(log) });
    return {
      url: postgres.url,
      setAddress: (address) => lock.setAddress(address),
      onExit: (listener) => postgres.onExit(listener),
      stop: async () => {
        await postgres.stop();
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function databaseConfig(config: Config): DatabaseConfig {
  if (config.databaseUrl === undefined)
    throw new TypeError("A command that needs a database checks for its URL first");
  return {
    url: config.databaseUrl,
    schema: config.databaseSchema,
    poolMax: config.databasePoolMax,
    poolMin: config.databasePoolMin,
    connectTimeoutMs: config.databaseConnectTimeoutMs,
    acquireTimeoutMs: config.databasePoolTimeoutMs,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    recycleMs: config.databasePoolRecycleMs,
    applicationName: config.appName,
    pipeline: config.pipeline,
  };
}

const IDLE_TIMEOUT_MS = 30_000;

function limitsOf(config: Config): Limits {
  return {
    ...DEFAULT_LIMITS,
    payloadBytes: config.maxPayloadBytes,
    messageBytes: config.maxMessageBytes,
    tasksPerWorkflow: config.maxTasks,
  };
}

function workerSettings(config: Config): WorkerSettings {
  const { beatTimeoutMs, closedGraceMs, deliveryTimeoutMs } = config;
  return {
    ...DEFAULT_WORKER_SETTINGS,
    beatIntervalMs: beatTimeoutMs / 3,
    beatTimeoutMs,
    closedGraceMs,
    deliveryTimeoutMs,
  };
}

/** A log for parts that tell a person what they do. */
function teller(log: Log): (message: string) => void {
  return (message) => log.info({}, message);
}
