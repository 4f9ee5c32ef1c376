import { DEFAULT_LIMITS } from "../core/limits.js";
import { bytes, choice, duration, integer, onOff, postgresUrl, seconds, text } from "./kind.js";
import { bytesText } from "./quantity.js";
import { optional, setting, type Setting } from "./setting.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const KIB = 1024;
const GIB = KIB ** 3;

const path = text("path", /\S/, "a path");

const DATABASE = {
  databaseUrl: optional(postgresUrl(), {
    group: "Database",
    env: ["HEADRACE_DATABASE_URL", "DATABASE_URL"],
    flag: "--database-url",
    description: "PostgreSQL 15 or newer. `headrace dev` starts its own when this is unset.",
  }),
  databaseSchema: setting(
    text(
      "name",
      /^(?!pg_)[a-z_][a-z0-9_]{0,62}$/,
      "1 to 63 characters of [a-z0-9_], not beginning with a digit or pg_",
    ),
    {
      group: "Database",
      env: ["HEADRACE_SCHEMA"],
      flag: "--schema",
      default: "headrace",
      description: "Schema that holds all tables.",
    },
  ),
  databasePoolMin: setting(integer({ min: 0, max: 1_000 }), {
    group: "Database",
    env: ["DB_POOL_MIN_SIZE"],
    flag: "--db-pool-min-size",
    default: "1",
    description: "Connections that the pool keeps open.",
  }),
  databasePoolMax: setting(integer({ min: 1, max: 1_000 }), {
    group: "Database",
    env: ["DB_POOL_MAX_SIZE"],
    flag: "--db-pool-max-size",
    default: "10",
    description: "Connections that the pool opens at most. The lanes have their own besides.",
  }),
  databasePoolTimeoutMs: setting(seconds({ min: 1, max: HOUR_MS }), {
    group: "Database",
    env: ["DB_POOL_TIMEOUT"],
    flag: "--db-pool-timeout",
    default: "30",
    description: "How long a query waits for a free connection of the pool.",
  }),
  databasePoolRecycleMs: setting(seconds({ min: 0, max: 7 * DAY_MS }), {
    group: "Database",
    env: ["DB_POOL_RECYCLE"],
    flag: "--db-pool-recycle",
    default: "3600",
    description: "Age at which a connection is replaced; 0 means never.",
  }),
  databaseConnectTimeoutMs: setting(seconds({ min: 1, max: HOUR_MS }), {
    group: "Database",
    env: ["DB_CONNECT_TIMEOUT"],
    flag: "--db-connect-timeout",
    default: "10",
    description: "How long opening a connection may take.",
    urlParameter: "connect_timeout",
  }),
  appName: setting(text("name", /^[\x20-\x7e]{1,63}$/, "1 to 63 printable ASCII characters"), {
    group: "Database",
    env: ["APP_NAME"],
    flag: "--app-name",
    default: "headrace",
    description: "Name of the connections in pg_stat_activity.",
    urlParameter: "application_name",
  }),
  pipeline: setting(onOff(), {
    group: "Database",
    env: ["HEADRACE_PIPELINE"],
    flag: "--pipeline",
    default: "on",
    description:
      "Whether lanes send statements without waiting for each answer. Off for poolers that cannot.",
  }),
} as const satisfies Record<string, Setting<unknown>>;

const ADDRESS = {
  host: setting(text("host", /^[A-Za-z0-9.:[\]_-]+$/, "a host name or an address"), {
    group: "Address",
    env: ["HEADRACE_HOST"],
    flag: "--host",
    default: "127.0.0.1",
    description: "Address to listen on. One that is not loopback needs TLS, or HEADRACE_INSECURE.",
  }),
  port: setting(integer({ min: 0, max: 65_535 }), {
    group: "Address",
    env: ["HEADRACE_PORT"],
    flag: "--port",
    default: "7400",
    description: "Port for gRPC and HTTP; 0 takes a free one, which the ready line names.",
  }),
  tlsCertFile: optional(path, {
    group: "Address",
    env: ["HEADRACE_TLS_CERT"],
    flag: "--tls-cert",
    description: "PEM file with the certificate chain of the server.",
  }),
  tlsKeyFile: optional(path, {
    group: "Address",
    env: ["HEADRACE_TLS_KEY"],
    flag: "--tls-key",
    description: "PEM file with the private key of the certificate.",
  }),
  tlsClientCaFile: optional(path, {
    group: "Address",
    env: ["HEADRACE_TLS_CLIENT_CA"],
    flag: "--tls-client-ca",
    description: "PEM file with the authorities of client certificates; clients must then present one.",
  }),
  insecure: setting(onOff(), {
    group: "Address",
    env: ["HEADRACE_INSECURE"],
    flag: "--insecure",
    default: "off",
    description: "Allow plaintext on an address that is not loopback.",
  }),
} as const satisfies Record<string, Setting<unknown>>;

const LIMITS = {
  maxPayloadBytes: setting(bytes({ min: KIB, max: GIB }), {
    group: "Limits",
    env: ["HEADRACE_MAX_PAYLOAD_BYTES"],
    flag: "--max-payload-bytes",
    default: bytesText(DEFAULT_LIMITS.payloadBytes),
    description: "Largest input, output or signal.",
  }),
  maxMessageBytes: setting(bytes({ min: 64 * KIB, max: GIB }), {
    group: "Limits",
    env: ["HEADRACE_MAX_MESSAGE_BYTES"],
    flag: "--max-message-bytes",
    default: bytesText(DEFAULT_LIMITS.messageBytes),
    description: "Largest gRPC message.",
  }),
  maxTasks: setting(integer({ min: 1, max: 1_000_000 }), {
    group: "Limits",
    env: ["HEADRACE_MAX_TASKS"],
    flag: "--max-tasks",
    default: String(DEFAULT_LIMITS.tasksPerWorkflow),
    description: "Most tasks of one workflow.",
  }),
} as const satisfies Record<string, Setting<unknown>>;

const WORK = {
  lanes: setting(integer({ min: 1, max: 64 }), {
    group: "Work",
    env: ["HEADRACE_LANES"],
    flag: "--lanes",
    default: "2",
    description: "Transactions that commit side by side. More than two help only with more cores.",
  }),
  leaseMs: setting(duration({ min: 1_000, max: HOUR_MS }), {
    group: "Work",
    env: ["HEADRACE_LEASE"],
    flag: "--lease",
    default: "10s",
    description: "How long a replica that stopped answering keeps the tasks of its workers.",
  }),
  beatTimeoutMs: setting(duration({ min: 500, max: HOUR_MS }), {
    group: "Work",
    env: ["HEADRACE_BEAT_TIMEOUT"],
    flag: "--beat-timeout",
    default: "15s",
    description: "How long a worker that fell silent keeps its tasks.",
  }),
  closedGraceMs: setting(duration({ min: 0, max: HOUR_MS }), {
    group: "Work",
    env: ["HEADRACE_CLOSED_GRACE"],
    flag: "--closed-grace",
    default: "1s",
    description: "How long a worker whose connection closed keeps its tasks.",
  }),
  deliveryTimeoutMs: setting(duration({ min: 100, max: HOUR_MS }), {
    group: "Work",
    env: ["HEADRACE_DELIVERY_TIMEOUT"],
    flag: "--delivery-timeout",
    default: "5s",
    description: "How soon a worker must acknowledge what it was sent.",
  }),
  stateCacheBytes: setting(bytes({ min: 0, max: 64 * GIB }), {
    group: "Work",
    env: ["HEADRACE_STATE_CACHE_BYTES"],
    flag: "--state-cache-bytes",
    default: "64MiB",
    description: "Memory for states of executions; what does not fit is read again from the database.",
  }),
  notify: setting(onOff(), {
    group: "Work",
    env: ["HEADRACE_NOTIFY"],
    flag: "--notify",
    default: "on",
    description: "Whether replicas wake each other by NOTIFY. Off: they poll, up to a second later.",
  }),
} as const satisfies Record<string, Setting<unknown>>;

const OPERATION = {
  dataDir: setting(path, {
    group: "Operation",
    env: ["HEADRACE_DATA_DIR"],
    flag: "--data-dir",
    default: ".headrace",
    description: "Where `headrace dev` keeps its database.",
  }),
  drainGraceMs: setting(duration({ min: 0, max: DAY_MS }), {
    group: "Operation",
    env: ["HEADRACE_DRAIN_GRACE"],
    flag: "--drain-grace",
    default: "30s",
    description: "How long a stopping server waits for workers to go elsewhere and calls to end.",
  }),
  logLevel: setting(choice(["trace", "debug", "info", "warn", "error", "silent"]), {
    group: "Operation",
    env: ["HEADRACE_LOG_LEVEL"],
    flag: "--log-level",
    default: "info",
    description: "Least important entries that are logged. Logs go to stderr.",
  }),
  logFormat: setting(choice(["auto", "json", "pretty"]), {
    group: "Operation",
    env: ["HEADRACE_LOG_FORMAT"],
    flag: "--log-format",
    default: "auto",
    description: "auto is pretty on a terminal and json elsewhere.",
  }),
} as const satisfies Record<string, Setting<unknown>>;

/** Every setting of the server, by its name in Config. */
export const SETTINGS = { ...DATABASE, ...ADDRESS, ...LIMITS, ...WORK, ...OPERATION };

export type SettingName = keyof typeof SETTINGS;

type ValueOf<S> = S extends Setting<infer T> ? T : never;

/** The settings of a server. Frozen. Names that end in Ms are milliseconds, in Bytes bytes. */
export type Config = { readonly [Name in SettingName]: ValueOf<(typeof SETTINGS)[Name]> };

/** Where the value of a setting came from. */
export interface Origin {
  readonly source: "default" | "env" | "flag" | "url";
  /** What to change to change it: the flag, the variable or the URL's parameter. */
  readonly from: string;
  /** As written; undefined when the setting is unset. Can be secret. */
  readonly text: string | undefined;
}

/** SETTINGS as one list, for code that treats all alike. */
export const SETTING_LIST: ReadonlyArray<readonly [SettingName, Setting<unknown>]> = Object.entries(
  SETTINGS,
) as Array<[SettingName, Setting<unknown>]>;

/** Variables that clients and tests read. They are not the server's, but no mistakes either. */
export const CLIENT_VARIABLES = {
  HEADRACE_ADDRESS: "Server to call, as host:port. Default 127.0.0.1:7400.",
  HEADRACE_NAMESPACE: 'Namespace of every request. Default "default".',
  HEADRACE_TLS: "1: call over TLS and check the server against the authorities of the system. Default 0.",
  HEADRACE_TLS_CA:
    "PEM file with the authorities that a server's certificate is checked against; turns TLS on.",
  HEADRACE_TLS_CERT:
    "To the SDKs the client's own certificate, for servers that demand one; the command line takes --tls-cert instead, because to the server this is its own.",
  HEADRACE_TLS_KEY:
    "To the SDKs the private key of the client's certificate; the command line takes --tls-key instead.",
  HEADRACE_TOKEN: "Bearer token sent with every request; only over TLS or to loopback.",
  HEADRACE_TRACE_URL: "Where traces can be looked at; {trace_id} in it is replaced.",
  HEADRACE_BIN: "The headrace executable that an SDK starts for its embedded server.",
} as const;

/** Variables that begin so are left to tests. */
export const TEST_VARIABLE_PREFIX = "HEADRACE_TEST_";
