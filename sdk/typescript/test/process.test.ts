import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import test from "ava";

import { reachLocal } from "../src/connect.js";
import { readSettings } from "../src/connect-options.js";
import { connect, HeadraceError, SDK_VERSION, task, workflow } from "../src/index.js";
import { LocalServer } from "../src/local-server.js";
import { ScriptedServer } from "./support/scripted-server.js";

const run = promisify(execFile);
// From dist-test/test to the package.
const home = fileURLToPath(new URL("../..", import.meta.url));
const fakeHeadrace = fileURLToPath(new URL("support/fake-headrace.js", import.meta.url));
const signalWorker = fileURLToPath(new URL("support/signal-worker.js", import.meta.url));

test("SIGTERM drains: what runs is finished, what waits given back, then the signal takes effect", async (t) => {
  const server = await ScriptedServer.start();
  const child = fork(signalWorker, { env: { ...process.env, HEADRACE_ADDRESS: server.address } });
  const exited = once(child, "exit") as Promise<[number | null, string | null]>;
  const link = await server.links.take();
  link.welcome();
  link.assign({}, {});
  await once(child, "message");
  child.kill("SIGTERM");
  await link.next("drain");
  const reports = [await link.reports.take(), await link.reports.take()];
  t.deepEqual(
    reports.map(({ attempt, outcome }) => [attempt?.taskId, outcome.case]),
    [
      ["t1", "givenBack"],
      ["t0", "success"],
    ],
  );
  for (const report of reports) link.ack(report);
  await link.ended;
  link.end();
  t.deepEqual(await exited, [null, "SIGTERM"]);
  server.close();
});

test("a second signal ends the process at once", async (t) => {
  const server = await ScriptedServer.start();
  const child = fork(signalWorker, { env: { ...process.env, HEADRACE_ADDRESS: server.address } });
  const exited = once(child, "exit") as Promise<[number | null, string | null]>;
  const link = await server.links.take();
  link.welcome();
  link.assign({});
  await once(child, "message");
  child.kill("SIGINT");
  await link.next("drain");
  child.kill("SIGINT");
  t.deepEqual(await exited, [130, null]);
  t.is(link.reports.all.length, 0);
  server.close();
});

test("a local server is started, used and stopped", async (t) => {
  const server = await LocalServer.start(fakeHeadrace, "");
  const client = await connect({ address: server.address });
  const stored = await client.put(workflow("w", () => task("a", () => 1)()));
  t.is(stored.name, "dev --port 0 --with-parent");
  await client.close();
  await server.stop();
  await t.throwsAsync(connect({ address: server.address, connectTimeout: 100 }), {
    instanceOf: HeadraceError,
  });
});

test("a local server that cannot be found or started says why", async (t) => {
  const missing = await t.throwsAsync(LocalServer.start("/nowhere/headrace", ""), {
    instanceOf: HeadraceError,
  });
  t.is(missing.reason, "LOCAL_SERVER_FAILED");
  t.regex(missing.message, /\/nowhere\/headrace.*ENOENT/);
  t.false(/\n/.test(missing.message));
  t.regex(missing.message, /ENOENT\. Set HEADRACE_BIN/);
  const starting = LocalServer.start(fakeHeadrace, "", { ...process.env, FAKE_HEADRACE_FAILS: "1" });
  const failed = await t.throwsAsync(starting, { instanceOf: HeadraceError });
  t.regex(failed.message, /exited with 3\nthe disk is full/);
});

test("a local server gets the environment without what is meant for clients", async (t) => {
  const { searchPath, serverEnv } = readSettings(
    { address: "a:1" },
    {
      PATH: process.env["PATH"],
      HEADRACE_ADDRESS: "b:2",
      HEADRACE_DATA_DIR: "/tmp/d",
      HEADRACE_NAMESPACE: "team",
      HEADRACE_TLS: "0",
      HEADRACE_TLS_CA: "",
      HEADRACE_TOKEN: "secret",
    },
  );
  const server = await LocalServer.start(fakeHeadrace, searchPath, serverEnv);
  const client = await connect({ address: server.address });
  t.is((await client.put(workflow("w", () => task("a", () => 1)()))).version, "HEADRACE_DATA_DIR");
  await client.close();
  await server.stop();
});

test("the local server of another program for the same folder is used, also while it still starts", async (t) => {
  const server = await ScriptedServer.start();
  const folder = await mkdtemp(join(tmpdir(), "headrace-shared-"));
  const env = {
    ...process.env,
    HEADRACE_BIN: fakeHeadrace,
    FAKE_HEADRACE_IN_USE: server.address,
    FAKE_HEADRACE_CALLS: join(folder, "calls"),
  };
  const { connection, localServer } = await reachLocal(readSettings({}, env));
  t.is(connection.address, server.address);
  t.is(localServer, undefined, "it is not ours to stop");
  t.is(readFileSync(env.FAKE_HEADRACE_CALLS, "utf8"), "called\ncalled\n");
  connection.close();
  server.close();
  const gone = await t.throwsAsync(reachLocal(readSettings({ connectTimeout: 100 }, env)), {
    instanceOf: HeadraceError,
  });
  t.is(gone.reason, "LOCAL_SERVER_FAILED");
  t.true(gone.message.includes(`Set HEADRACE_ADDRESS=${server.address} `), gone.message);
  t.regex(gone.message, /in a terminal: headrace dev$/);
  await rm(folder, { recursive: true });
});

test("an address that is not host:port is refused at once", async (t) => {
  for (const address of ["foo", "http://foo:7400", "foo:0", "foo:65536", "::1:7400", "foo:7400/x", 7400]) {
    const error = await t.throwsAsync(connect({ address: address as string }), { instanceOf: HeadraceError });
    t.like(error, { reason: "INVALID_OPTION", field: "address" }, String(address));
    t.regex(error.message, /address is .*, not host:port\. Give a host and a port/);
  }
  t.throws(() => readSettings({}, { HEADRACE_ADDRESS: "foo" }), { message: /HEADRACE_ADDRESS is "foo"/ });
  t.is(readSettings({ address: "[::1]:7400" }, {}).address, "[::1]:7400");
});

test("the environment gives what the options leave out", (t) => {
  const settings = readSettings(
    { callTimeout: "1m" },
    {
      HEADRACE_ADDRESS: "db:1",
      HEADRACE_NAMESPACE: "team",
      HEADRACE_TOKEN: "secret",
      HEADRACE_BIN: "/bin/headrace",
      HEADRACE_TLS: "1",
    },
  );
  t.like(settings, {
    address: "db:1",
    namespace: "team",
    token: "secret",
    serverProgram: "/bin/headrace",
    callTimeoutMs: 60_000,
  });
  t.true(settings.credentials._isSecure());
  t.like(readSettings({ address: "a:2", namespace: "n" }, { HEADRACE_ADDRESS: "b:3" }), {
    address: "a:2",
    namespace: "n",
  });
  t.like(readSettings({}, { HEADRACE_ADDRESS: "" }), { address: undefined, namespace: "default" });
  t.throws(() => readSettings({}, { HEADRACE_TLS: "maybe" }), { message: /HEADRACE_TLS is "maybe"/ });
  t.throws(() => readSettings({}, { HEADRACE_TLS_CA: "/nowhere/ca.pem" }), { message: /\/nowhere\/ca\.pem/ });
  t.throws(() => readSettings({ tls: { key: "k" } }, {}), { message: /one of cert and key/ });
});

test("the built package loads as ESM and as CommonJS, and knows its version", async (t) => {
  const manifest = JSON.parse(readFileSync(`${home}/package.json`, "utf8")) as { version: string };
  t.is(SDK_VERSION, manifest.version);
  const names =
    '["task", "workflow", "connect", "external"].every((name) => typeof sdk[name] === "function")';
  const esm = `import * as sdk from "@headrace/sdk"; console.log(${names});`;
  const cjs = `const sdk = require("@headrace/sdk"); console.log(${names});`;
  for (const [type, source] of [
    ["module", esm],
    ["commonjs", cjs],
  ] as const) {
    const { stdout } = await run(process.execPath, [`--input-type=${type}`, "-e", source], { cwd: home });
    t.is(stdout.trim(), "true", type);
  }
});
