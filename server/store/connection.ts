import pg from "pg";
import { HeadraceError } from "../core/errors.js";
import { parseDatabaseUrl } from "./database-url.js";

/** How the server reaches its database. Times in milliseconds. */
export interface DatabaseConfig {
  /** postgres://user:password@host:port/database, or ?host=/directory for a unix socket. */
  readonly url: string;
  /** PostgreSQL schema that holds every table. Default: headrace. */
  readonly schema?: string;
  readonly poolMax: number;
  /** Connections that stay open when idle. */
  readonly poolMin: number;
  readonly connectTimeoutMs: number;
  /** How long a caller waits for a free connection of the pool. */
  readonly acquireTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Age at which a connection of the pool is replaced, for servers behind a name that moves. Default: none. */
  readonly recycleMs?: number;
  readonly applicationName: string;
  /** Whether dedicated connections send statements without waiting for the answers before. */
  readonly pipeline: boolean;
}

/** What one kind of connection needs beyond the configuration. 0 switches a timeout off. */
export interface ConnectionUse {
  /** Added to the application name, so that pg_stat_activity tells connections apart. */
  readonly purpose: string;
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  /** Server settings by name, set as the connection starts. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** The schema of a configuration that names none. */
export const DEFAULT_SCHEMA = "headrace";

const STATEMENT_TIMEOUT_MS = 10_000;
const LOCK_TIMEOUT_MS = 2_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000;
/** How much later than PostgreSQL itself this side gives a statement up. */
const ANSWER_GRACE_MS = 5_000;
const KEEPALIVE_DELAY_MS = 10_000;
/** PostgreSQL cuts longer names without a word. */
const MAX_IDENTIFIER_BYTES = 63;

const INT8_OID = 20;

/** The settings of pg for one connection. Throws DATABASE_UNUSABLE when the URL or schema is not valid. */
export function clientConfig(config: DatabaseConfig, use: ConnectionUse): pg.ClientConfig {
  const address = parseDatabaseUrl(config.url);
  const statementTimeoutMs = use.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
  const settings = {
    search_path: schemaOf(config),
    // Batch statements over unnest() are misjudged by the planner; compiling them costs more than it gives.
    jit: "off",
    statement_timeout: String(statementTimeoutMs),
    lock_timeout: String(use.lockTimeoutMs ?? LOCK_TIMEOUT_MS),
    idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    ...use.settings,
  };
  return {
    host: address.host,
    port: address.port,
    database: address.database,
    user: address.user,
    password: address.password,
    ssl: address.ssl,
    application_name: `${config.applicationName} ${use.purpose}`.slice(0, MAX_IDENTIFIER_BYTES),
    connectionTimeoutMillis: config.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
    // A line that fell silent must not hold its caller for the many minutes that TCP tries.
    ...(statementTimeoutMs === 0 ? {} : { query_timeout: statementTimeoutMs + ANSWER_GRACE_MS }),
    options: startupOptions(settings),
    types: { getTypeParser: getTypeParser as typeof pg.types.getTypeParser },
  };
}

/** The schema of a configuration. Throws DATABASE_UNUSABLE when it is not a plain lower-case identifier. */
export function schemaOf(config: DatabaseConfig): string {
  const schema = config.schema ?? DEFAULT_SCHEMA;
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema) || schema.startsWith("pg_")) {
    throw new HeadraceError(
      "DATABASE_UNUSABLE",
      `The schema "${schema}" must be 1 to ${MAX_IDENTIFIER_BYTES} characters of [a-z0-9_], begin with a letter or underscore and not with pg_.`,
      { field: "schema", actual: schema },
    );
  }
  return schema;
}

/** `-c name=value` for each setting. Backslashes and spaces are escaped as the server unescapes them. */
function startupOptions(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\\s]/g, "\\$&")}`)
    .join(" ");
}

/** As pg does, except that int8 is a number: every such column holds milliseconds, counts or bytes. */
function getTypeParser(oid: number, format?: string): (value: string) => unknown {
  if (oid === INT8_OID && format !== "binary") return parseInt8;
  const parsers = pg.types as unknown as {
    getTypeParser(oid: number, format?: string): (value: string) => unknown;
  };
  return parsers.getTypeParser(oid, format);
}

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 value ${text} is beyond 2^53 - 1`);
  return value;
}
