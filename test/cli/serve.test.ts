import { readFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import test from "ava";
import type { Config } from "../../server/config.js";
import { CliError } from "../../server/cli/cli-error.js";
import type { Cli } from "../../server/cli/cli.js";
import { createProgram } from "../../server/cli/program.js";
import type { DevDatabase, ServerParts } from "../../server/main.js";
import { HeadraceError } from "../../server/core/errors.js";
import { createLogger, prettyLine } from "../../server/telemetry/logger.js";
import { runCli } from "../support/run-cli.js";

interface Stage {
  readonly events: string[];
  readonly configs: Config[];
  readonly interrupt: AbortController;
  /** What the command has printed. */
  printed(): string;
  run(...args: string[]): Promise<void>;
  /** Resolves when standard output has a line. */
  readonly ready: Promise<unknown>;
}

/** Runs commands of the server with parts that only note what happens. */
function setStage(parts: Partial<ServerParts>, env: Record<string, string> = {}): Stage {
  const events: string[] = [];
  const configs: Config[] = [];
  const interrupt = new AbortController();
  const stdout = new PassThrough({ encoding: "utf8" });
  const stderr = new PassThrough();
  const whole: ServerParts = {
    createLog: (_, stream) => createLogger({ level: "silent", format: "json", color: false }, stream),
    startServer: async (config) => {
      configs.push(config);
      events.push("server started");
      return { address: "127.0.0.1:7400", stop: async () => void events.push("server stopped") };
    },
    startDevDatabase: async (dataDir) => {
      events.push(`database started in ${dataDir}`);
      return databaseDouble(events);
    },
    migrate: async () => ["0001-a", "0002-b"],
    pendingMigrations: async () => [],
    ...parts,
  };
  const cli: Cli = {
    env,
    stdin: process.stdin,
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: stderr as unknown as NodeJS.WriteStream,
    interrupted: interrupt.signal,
    loadServerParts: async () => whole,
  };
  let printed = "";
  const ready = new Promise((resolve) =>
    stdout.on("data", (text: string) => {
      printed += text;
      resolve(text);
    }),
  );
  return {
    events,
    configs,
    interrupt,
    printed: () => printed,
    run: async (...args) => {
      await createProgram(cli).parseAsync(args, { from: "user" });
    },
    ready,
  };
}

function databaseDouble(events: string[], onExit: DevDatabase["onExit"] = () => undefined): DevDatabase {
  return {
    url: "postgres:///postgres?host=/tmp/x",
    setAddress: async (address) => void events.push(`address is ${address}`),
    onExit,
    stop: async () => void events.push("database stopped"),
  };
}

test("dev starts its database, then the server, says one line, and stops both in turn", async (t) => {
  const stage = setStage({}, { HEADRACE_DATA_DIR: "/data" });
  const running = stage.run("dev", "--lanes", "3");
  await stage.ready;
  t.is(stage.printed(), "headrace: ready on 127.0.0.1:7400\n");
  stage.interrupt.abort();
  await running;
  t.deepEqual(stage.events, [
    "database started in /data",
    "server started",
    "address is 127.0.0.1:7400",
    "server stopped",
    "database stopped",
  ]);
  t.like(stage.configs[0], { databaseUrl: "postgres:///postgres?host=/tmp/x", lanes: 3 });
});

test("dev uses the database of DATABASE_URL, and --json announces by JSON", async (t) => {
  const stage = setStage({}, { DATABASE_URL: "postgres://h/db" });
  const running = stage.run("dev", "--json");
  await stage.ready;
  stage.interrupt.abort();
  await running;
  t.deepEqual(stage.events, ["server started", "server stopped"]);
  t.deepEqual(JSON.parse(stage.printed()), { address: "127.0.0.1:7400" });
});

test("dev stops its database when the server does not start", async (t) => {
  const stage = setStage({ startServer: () => Promise.reject(new Error("no")) });
  await t.throwsAsync(stage.run("dev"), { message: "no" });
  t.deepEqual(stage.events, ["database started in .headrace", "database stopped"]);
});

test("dev ends when its database ends", async (t) => {
  const events: string[] = [];
  let exit: ((reason: string) => void) | undefined;
  const stage = setStage({
    startDevDatabase: async () => databaseDouble(events, (listener) => (exit = listener)),
  });
  const running = stage.run("dev");
  await stage.ready;
  exit?.("PostgreSQL ended by itself");
  const error = await t.throwsAsync(running, { instanceOf: CliError, message: "PostgreSQL ended by itself" });
  t.is(error.exitCode, 70);
  t.true(stage.events.includes("server stopped"));
});

test("a second dev on the same data is refused as the store says it", async (t) => {
  const inUse = new HeadraceError("INVALID_FIELD", "in use");
  const stage = setStage({ startDevDatabase: () => Promise.reject(inUse) });
  t.is(await t.throwsAsync(stage.run("dev")), inUse);
  t.deepEqual(stage.events, []);
});

test("serve runs on the given database", async (t) => {
  const stage = setStage({}, { DATABASE_URL: "postgres://h/db" });
  const running = stage.run("serve", "--port", "0");
  await stage.ready;
  stage.interrupt.abort();
  await running;
  t.like(stage.configs[0], { databaseUrl: "postgres://h/db", port: 0 });
});

for (const [code, exitCode, message] of [
  ["EADDRINUSE", 5, "port 7400 of 127.0.0.1 is in use"],
  ["EACCES", 5, "this user may not listen on port 7400"],
  ["EADDRNOTAVAIL", 2, "127.0.0.1 is no address of this machine"],
] as const) {
  test(`an address that cannot be had is told: ${code}`, async (t) => {
    const listen = Object.assign(new Error(code), { code });
    const stage = setStage(
      { startServer: () => Promise.reject(listen) },
      { DATABASE_URL: "postgres://h/db" },
    );
    const error = await t.throwsAsync(stage.run("serve"), { instanceOf: CliError, message });
    t.is(error.exitCode, exitCode);
    t.truthy(error.facts.remedy);
  });
}

test("a certificate that cannot be read is told by its setting", async (t) => {
  const missing = Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT", path: "c.pem" });
  const env = { DATABASE_URL: "postgres://h/db", HEADRACE_TLS_CERT: "c.pem", HEADRACE_TLS_KEY: "k.pem" };
  const stage = setStage({ startServer: () => Promise.reject(missing) }, env);
  const error = await t.throwsAsync(stage.run("serve"), { instanceOf: CliError });
  t.is(error.message, "the file c.pem of HEADRACE_TLS_CERT cannot be read: there is no such file");
  t.is(error.exitCode, 2);
});

test("an interrupt does not wait for a server that is still starting", async (t) => {
  let begun = (): void => undefined;
  const isStarting = new Promise<void>((resolve) => (begun = resolve));
  const stage = setStage({
    startServer: () => {
      begun();
      return new Promise<never>(() => undefined);
    },
  });
  const running = stage.run("dev");
  await isStarting;
  stage.interrupt.abort();
  const error = await t.throwsAsync(running, { instanceOf: CliError });
  t.is(error.exitCode, 130);
  t.is(stage.printed(), "");
  t.true(stage.events.includes("database stopped"));
});

test("migrate tells what it applied; --check fails when something is pending", async (t) => {
  const env = { DATABASE_URL: "postgres://h/db" };
  const stage = setStage({}, env);
  await stage.run("migrate");
  t.is(stage.printed(), "applied 0001-a, 0002-b\n");
  const done = setStage({ migrate: async () => [] }, env);
  await done.run("migrate", "--json");
  t.deepEqual(JSON.parse(done.printed()), { applied: [] });
  const none = setStage({}, env);
  await none.run("migrate", "--check");
  t.is(none.printed(), "nothing is pending\n");
  const pending = setStage({ pendingMigrations: async () => ["0003-c"] }, env);
  const error = await t.throwsAsync(pending.run("migrate", "--check"), { instanceOf: CliError });
  t.is(error.exitCode, 1);
  t.is(error.message, "migrations are pending: 0003-c");
});

test("config print shows values with their sources and no password", async (t) => {
  const env = { DATABASE_URL: "postgres://u:secret@h/db?application_name=x", HEADRACE_LEASE: "20s" };
  const { code, stdout } = await runCli(["config", "print", "--port", "0"], { env });
  t.is(code, 0);
  const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
  const row = (name: string) => rows.find(([first]) => first === name);
  t.deepEqual(row("HEADRACE_DATABASE_URL"), ["HEADRACE_DATABASE_URL", "postgres://u:***@h/db", "env"]);
  t.deepEqual(row("APP_NAME"), ["APP_NAME", "x", "url"]);
  t.deepEqual(row("HEADRACE_PORT"), ["HEADRACE_PORT", "0", "flag"]);
  t.deepEqual(row("HEADRACE_LEASE"), ["HEADRACE_LEASE", "20s", "env"]);
  t.deepEqual(row("HEADRACE_TLS_CERT"), ["HEADRACE_TLS_CERT", "unset", "default"]);
  const asJson = JSON.parse((await runCli(["config", "print", "--json"], { env })).stdout) as {
    settings: { name: string; value: string | null; source: string }[];
  };
  t.like(
    asJson.settings.find(({ name }) => name === "leaseMs"),
    { value: "20s", source: "env" },
  );
  t.is(asJson.settings.find(({ name }) => name === "tlsCertFile")?.value, null);
});

test("config print tells all mistakes at once and exits with 2", async (t) => {
  const result = await runCli(["config", "print"], { env: { HEADRACE_PORT: "x", HEADRACE_LAENS: "1" } });
  t.is(result.code, 2);
  t.regex(
    result.stderr,
    /^error: The configuration has 2 mistakes\.\n {2}- HEADRACE_LAENS .*\n {2}- HEADRACE_PORT /,
  );
});

test("help lists every command and the exit codes, alone or for one command", async (t) => {
  for (const args of [[], ["--help"], ["help"], ["-h"]]) {
    const { code, stdout } = await runCli(args);
    t.is(code, 0);
    for (const command of [
      "dev",
      "serve",
      "migrate",
      "config",
      "workflows",
      "run",
      "list",
      "why",
      "workers",
    ]) {
      t.regex(stdout, new RegExp(`^  ${command} `, "m"));
    }
    t.regex(stdout, /^Exit codes:\n {2}0 +done$/m);
  }
  const one = await runCli(["help", "cancel"]);
  t.is(one.code, 0);
  t.regex(one.stdout, /^Usage: headrace cancel \[options\] <execution-id>/);
  t.is(one.stdout, (await runCli(["cancel", "--help"])).stdout);
  for (const name of ["workflows", "config"]) {
    const group = await runCli([name]);
    t.deepEqual([group.code, group.stderr], [0, ""]);
    t.regex(group.stdout, new RegExp(`^Usage: headrace ${name}`));
  }
});

test("--version prints the version of the package", async (t) => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  for (const flag of ["--version", "-V"]) t.is((await runCli([flag])).stdout, `${version}\n`);
});

test("the log is JSON lines, or lines for people that cannot drive the terminal", async (t) => {
  const stream = new PassThrough({ encoding: "utf8" });
  const lines: string[] = [];
  stream.on("data", (line: string) => lines.push(line));
  const write = (format: "json" | "pretty") => {
    const log = createLogger(
      { level: "info", format, color: false },
      stream as unknown as NodeJS.WriteStream,
    );
    log.debug({}, "not shown");
    log.warn({ task: "a b", count: 3, err: new Error("broken") }, "it \u001b[2J failed");
  };
  write("json");
  t.like(JSON.parse(lines[0] ?? ""), { level: "warn", task: "a b", count: 3, msg: "it \u001b[2J failed" });
  write("pretty");
  const pretty = lines.slice(1).join("");
  t.regex(
    pretty,
    /^\d\d:\d\d:\d\d\.\d{3} WARN {2}it \ufffd\[2J failed task="a b" count=3\nError: broken\n {4}at /,
  );
  t.is(lines.length, 2);
  t.regex(
    prettyLine('{"level":"error","time":"2026-01-31T12:00:00.000Z","msg":"x"}', true),
    /\u001b\[31mERROR/,
  );
});
