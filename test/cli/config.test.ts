import test from "ava";
import fc from "fast-check";
import { loadConfig, resolveConfig, type Environment, type Flags } from "../../server/config.js";
import { maskDatabaseUrl, takeUrlParameters } from "../../server/config/database-url.js";
import { isLoopback } from "../../server/config/contradictions.js";
import { nearest } from "../../server/config/nearest.js";
import { bytesText, durationText, parseBytes, parseDuration } from "../../server/config/quantity.js";
import { SETTING_LIST, SETTINGS } from "../../server/config/settings.js";
import { HeadraceError } from "../../server/core/errors.js";

/** The messages of all mistakes. */
function mistakes(env: Environment, flags: Flags = {}): string[] {
  try {
    loadConfig(env, flags);
    return [];
  } catch (error) {
    if (!(error instanceof HeadraceError)) throw error;
    return (error.facts.violations ?? []).map((violation) => violation.message);
  }
}

test("without any setting the defaults hold, in base units, frozen", (t) => {
  const config = loadConfig({});
  t.deepEqual(
    { ...config },
    {
      databaseUrl: undefined,
      databaseSchema: "headrace",
      databasePoolMin: 1,
      databasePoolMax: 10,
      databasePoolTimeoutMs: 30_000,
      databasePoolRecycleMs: 3_600_000,
      databaseConnectTimeoutMs: 10_000,
      appName: "headrace",
      pipeline: true,
      host: "127.0.0.1",
      port: 7400,
      tlsCertFile: undefined,
      tlsKeyFile: undefined,
      tlsClientCaFile: undefined,
      insecure: false,
      maxPayloadBytes: 2 * 1024 * 1024,
      maxMessageBytes: 4 * 1024 * 1024,
      maxTasks: 10_000,
      lanes: 2,
      leaseMs: 10_000,
      beatTimeoutMs: 15_000,
      closedGraceMs: 1_000,
      deliveryTimeoutMs: 5_000,
      stateCacheBytes: 64 * 1024 * 1024,
      notify: true,
      dataDir: ".headrace",
      drainGraceMs: 30_000,
      logLevel: "info",
      logFormat: "auto",
    },
  );
  t.true(Object.isFrozen(config));
});

test("a flag goes before a variable, a variable before the URL, the URL before the default", (t) => {
  const url = "postgres://u@h/db?application_name=from-url&connect_timeout=7&sslmode=require";
  const fromUrl = resolveConfig({ DATABASE_URL: url });
  t.is(fromUrl.config.appName, "from-url");
  t.is(fromUrl.config.databaseConnectTimeoutMs, 7_000);
  t.is(fromUrl.config.databaseUrl, "postgres://u@h/db?sslmode=require");
  t.is(fromUrl.origins.appName.source, "url");
  t.is(fromUrl.origins.databaseUrl.source, "env");
  t.is(fromUrl.origins.port.source, "default");
  const fromEnv = resolveConfig({ DATABASE_URL: url, APP_NAME: "from-env" });
  t.is(fromEnv.config.appName, "from-env");
  t.is(fromEnv.origins.appName.source, "env");
  const fromFlag = resolveConfig({ DATABASE_URL: url, APP_NAME: "from-env" }, { appName: "from-flag" });
  t.is(fromFlag.config.appName, "from-flag");
  t.is(fromFlag.origins.appName.source, "flag");
});

test("of two names of a variable the more particular one holds", (t) => {
  const env = { DATABASE_URL: "postgres://h/general", HEADRACE_DATABASE_URL: "postgres://h/particular" };
  t.is(loadConfig(env).databaseUrl, "postgres://h/particular");
  t.is(loadConfig({ ...env, HEADRACE_DATABASE_URL: "" }).databaseUrl, "postgres://h/general");
});

test("values are read in all notations that are allowed", (t) => {
  const config = loadConfig({
    HEADRACE_LEASE: "1.5s",
    HEADRACE_BEAT_TIMEOUT: "2m",
    HEADRACE_CLOSED_GRACE: "250ms",
    HEADRACE_MAX_PAYLOAD_BYTES: "4096",
    HEADRACE_MAX_MESSAGE_BYTES: "1MiB",
    HEADRACE_NOTIFY: "off",
    HEADRACE_PIPELINE: "false",
    DB_POOL_TIMEOUT: "0.5",
    HEADRACE_LOG_LEVEL: "silent",
  });
  t.is(config.leaseMs, 1_500);
  t.is(config.beatTimeoutMs, 120_000);
  t.is(config.closedGraceMs, 250);
  t.is(config.maxPayloadBytes, 4_096);
  t.is(config.maxMessageBytes, 1024 * 1024);
  t.false(config.notify);
  t.false(config.pipeline);
  t.is(config.databasePoolTimeoutMs, 500);
  t.is(config.logLevel, "silent");
});

const wrong: [env: Environment, message: string][] = [
  [{ HEADRACE_PORT: "70000" }, 'HEADRACE_PORT is "70000", the maximum is 65535'],
  [{ HEADRACE_PORT: "-1" }, 'HEADRACE_PORT is "-1", the minimum is 0'],
  [{ HEADRACE_PORT: "http" }, 'HEADRACE_PORT is "http", expected a whole number'],
  [{ HEADRACE_PORT: "7400.5" }, 'HEADRACE_PORT is "7400.5", expected a whole number'],
  [
    { HEADRACE_LEASE: "10" },
    'HEADRACE_LEASE is "10", expected a duration with its unit, such as 500ms, 10s or 5m',
  ],
  [{ HEADRACE_LEASE: "10ms" }, 'HEADRACE_LEASE is "10ms", the minimum is 1s'],
  [{ HEADRACE_LEASE: "2h" }, 'HEADRACE_LEASE is "2h", the maximum is 1h'],
  [{ DB_POOL_TIMEOUT: "10s" }, 'DB_POOL_TIMEOUT is "10s", expected a number of seconds without a unit'],
  [{ DB_POOL_RECYCLE: "700000" }, 'DB_POOL_RECYCLE is "700000", the maximum is 604800'],
  [{ HEADRACE_NOTIFY: "yes" }, 'HEADRACE_NOTIFY is "yes", expected on or off'],
  [{ HEADRACE_LOG_FORMAT: "text" }, 'HEADRACE_LOG_FORMAT is "text", expected one of auto, json, pretty'],
  [
    { HEADRACE_MAX_PAYLOAD_BYTES: "2MB" },
    'HEADRACE_MAX_PAYLOAD_BYTES is "2MB", expected a number of bytes such as 4096, 512KiB or 2MiB',
  ],
  [
    { HEADRACE_SCHEMA: "Head-Race" },
    'HEADRACE_SCHEMA is "Head-Race", expected 1 to 63 characters of [a-z0-9_], not beginning with a digit or pg_',
  ],
  [
    { DATABASE_URL: "mysql://u:secret@h/db" },
    "DATABASE_URL is not valid, expected postgres://user:password@host:5432/database",
  ],
  [
    { DATABASE_URL: "postgres://h/db?connect_timeout=soon" },
    'connect_timeout of the database URL is "soon", expected a number of seconds without a unit',
  ],
  [{ HEADRACE_PROT: "1" }, "HEADRACE_PROT is no setting; did you mean HEADRACE_PORT?"],
  [{ HEADRACE_XYZZY_QUUX: "1" }, "HEADRACE_XYZZY_QUUX is no setting"],
  [{ DB_POOL_MIN_SIZE: "11" }, "DB_POOL_MIN_SIZE is 11, more than DB_POOL_MAX_SIZE, which is 10"],
  [
    { HEADRACE_MAX_PAYLOAD_BYTES: "8MiB" },
    "HEADRACE_MAX_PAYLOAD_BYTES is 8MiB, more than HEADRACE_MAX_MESSAGE_BYTES, which is 4MiB",
  ],
  [
    { HEADRACE_CLOSED_GRACE: "16s" },
    "HEADRACE_CLOSED_GRACE is 16s, more than HEADRACE_BEAT_TIMEOUT, which is 15s",
  ],
  [
    { HEADRACE_BEAT_TIMEOUT: "2s" },
    "HEADRACE_DELIVERY_TIMEOUT is 5s, more than HEADRACE_BEAT_TIMEOUT, which is 2s",
  ],
  [
    { HEADRACE_TLS_CERT: "c.pem" },
    "HEADRACE_TLS_CERT is c.pem, but HEADRACE_TLS_KEY is not set; set both or neither",
  ],
  [
    { HEADRACE_TLS_KEY: "k.pem" },
    "HEADRACE_TLS_KEY is k.pem, but HEADRACE_TLS_CERT is not set; set both or neither",
  ],
  [
    { HEADRACE_TLS_CLIENT_CA: "ca.pem" },
    "HEADRACE_TLS_CLIENT_CA is ca.pem, but HEADRACE_TLS_CERT is not set; it takes effect with TLS only",
  ],
  [
    { HEADRACE_HOST: "0.0.0.0" },
    "HEADRACE_HOST is 0.0.0.0, which others can reach, without TLS; set HEADRACE_TLS_CERT and HEADRACE_TLS_KEY, or HEADRACE_INSECURE=on if the network is trusted",
  ],
];

for (const [env, message] of wrong) {
  test(`a mistake is told: ${message}`, (t) => {
    t.deepEqual(mistakes(env), [message]);
  });
}

test("all mistakes are told at once, each under the name that the user wrote", (t) => {
  const found = mistakes(
    { HEADRACE_PROT: "1", HEADRACE_LANES: "0", HEADRACE_TLS_CERT: "c.pem", DB_CONNECT_TIMEOUT: "x" },
    { port: "99999" },
  );
  t.deepEqual(found, [
    "HEADRACE_PROT is no setting; did you mean HEADRACE_PORT?",
    'DB_CONNECT_TIMEOUT is "x", expected a number of seconds without a unit',
    '--port is "99999", the maximum is 65535',
    'HEADRACE_LANES is "0", the minimum is 1',
    "HEADRACE_TLS_CERT is c.pem, but HEADRACE_TLS_KEY is not set; set both or neither",
  ]);
});

test("what belongs to clients, to tests or to nobody is no mistake", (t) => {
  t.deepEqual(
    mistakes({
      HEADRACE_ADDRESS: "h:1",
      HEADRACE_TOKEN: "x",
      HEADRACE_TEST_ANYTHING: "1",
      DB_HOST: "h",
      PORT: "1",
    }),
    [],
  );
  t.deepEqual(mistakes({ HEADRACE_HOST: "0.0.0.0", HEADRACE_INSECURE: "on" }), []);
  t.deepEqual(mistakes({ HEADRACE_HOST: "::", HEADRACE_TLS_CERT: "c", HEADRACE_TLS_KEY: "k" }), []);
});

test("loopback is what only this machine reaches", (t) => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]) t.true(isLoopback(host), host);
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com"]) {
    t.false(isLoopback(host), host);
  }
});

test("passwords are masked wherever a URL can carry them", (t) => {
  const masked: [string, string][] = [
    ["postgres://u:p@h:5432/db", "postgres://u:***@h:5432/db"],
    ["postgres://u:p@ss:w@h/db", "postgres://u:***@h/db"],
    ["postgres://u@h/db", "postgres://u@h/db"],
    ["postgres:///db?host=/run&password=secret&user=u", "postgres:///db?host=/run&password=***&user=u"],
    ["postgres://h/db?sslpassword=secret", "postgres://h/db?sslpassword=***"],
  ];
  for (const [url, expected] of masked) t.is(maskDatabaseUrl(url), expected);
});

test("parameters are taken out of a URL and the rest stays letter by letter", (t) => {
  const { rest, parameters } = takeUrlParameters("postgres://h/db?a=%2F&app=x%20y&b=2", ["app"]);
  t.is(rest, "postgres://h/db?a=%2F&b=2");
  t.deepEqual([...parameters], [["app", "x y"]]);
  t.is(takeUrlParameters("postgres://h/db?app=x", ["app"]).rest, "postgres://h/db");
  t.is(takeUrlParameters("postgres://h/db", ["app"]).rest, "postgres://h/db");
});

test("the nearest name is found through a swap, a gap or a wrong letter, and not through more", (t) => {
  const names = ["HEADRACE_PORT", "HEADRACE_HOST", "HEADRACE_LEASE"];
  t.is(nearest("HEADRACE_PROT", names), "HEADRACE_PORT");
  t.is(nearest("HEADRACE_LEAS", names), "HEADRACE_LEASE");
  t.is(nearest("headrace_host", names), "HEADRACE_HOST");
  t.is(nearest("list", ["watch", "cancel"]), undefined);
});

test("quantities survive being written and read", (t) => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), (value) => {
      t.is(parseDuration(durationText(value)), value);
      t.is(parseBytes(bytesText(value)), value);
    }),
  );
  t.is(durationText(90_000), "90s");
  t.is(bytesText(3 * 1024), "3KiB");
  for (const text of ["", "10", "s", "-1s", "1.0001ms", "1 hour", "1e3s"])
    t.is(parseDuration(text), undefined, text);
});

test("every default is a value that the setting accepts, and every name is used once", (t) => {
  const names = SETTING_LIST.flatMap(([, setting]) => [...setting.env, setting.flag]);
  t.is(new Set(names).size, names.length);
  for (const [name, setting] of SETTING_LIST) {
    if (setting.default !== undefined) t.notThrows(() => setting.kind.parse(setting.default ?? ""), name);
  }
  t.is(SETTINGS.port.env[0], "HEADRACE_PORT");
});
