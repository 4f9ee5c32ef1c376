import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import test from "ava";

import { reachLocal } from "../src/connect.js";
import { readSettings } from "../src/connect-options.js";
import { connect, task, workflow } from "../src/index.js";
import { LocalServer } from "../src/local-server.js";

const run = promisify(execFile);
// From dist-test/test to the package, and to the compiled server.
const home = fileURLToPath(new URL("../..", import.meta.url));
const headrace = fileURLToPath(new URL("../../../../dist/server/cli/main.js", import.meta.url));

let server: LocalServer;
let dataDir: string;

test.before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "headrace-examples-"));
  process.env["HEADRACE_DATA_DIR"] = dataDir;
  server = await LocalServer.start(headrace, "");
});

test.after.always(async () => {
  await server.stop();
  await rm(dataDir, { recursive: true, force: true });
});

/** What an example prints, run as a program of its own against the real server. */
async function outputOf(example: string): Promise<string[]> {
  const path = fileURLToPath(new URL(`../examples/${example}.js`, import.meta.url));
  const env = { ...process.env, HEADRACE_ADDRESS: server.address };
  const { stdout } = await run(process.execPath, [path], { cwd: home, env, timeout: 60_000 });
  return stdout.trimEnd().split("\n");
}

test("hello", async (t) => {
  t.deepEqual(await outputOf("hello"), ["sent ch_5"]);
});

test("fan-out", async (t) => {
  t.deepEqual(await outputOf("fan-out"), ["{ total: 900 }", "100 more, each with a total of 900"]);
});

test("retry", async (t) => {
  t.deepEqual(await outputOf("retry"), [
    "unsteady: attempt 1 of 3",
    "unsteady: attempt 2 of 3",
    "unsteady: attempt 3 of 3",
    "done at attempt 3",
    "busy: attempt 1 of 3",
    "busy: attempt 2 of 3",
    "busy: attempt 3 of 3",
    "done at attempt 3",
    "declined: attempt 1 of 3",
    "FAILED in task flaky: NonRetryable",
  ]);
});

test("cancel", async (t) => {
  const lines = await outputOf("cancel");
  t.true(lines.some((line) => line.startsWith("RUNNING copy RUNNING")));
  t.is(lines.at(-1), "ended CANCELLED");
});

test("a program that starts no server of its own uses that of another program in the folder", async (t) => {
  const env = { ...process.env, HEADRACE_BIN: headrace, HEADRACE_TLS: "0" };
  const { connection, localServer } = await reachLocal(readSettings({}, env));
  t.teardown(() => connection.close());
  t.is(connection.address, server.address);
  t.is(localServer, undefined);
});

test("the output of a task that returns nothing can be passed on and be the result", async (t) => {
  const seen: unknown[] = [];
  const silent = task("silent", async () => Promise.resolve());
  const look = task("look", (value: unknown) => void seen.push(value));
  const whole = workflow("whole", () => look(silent()));
  const parts = workflow("parts", () => ({
    first: silent(),
    after: look({ was: silent.with({ id: "s" })() }),
  }));
  await using client = await connect({ address: server.address });
  await client.serve([whole, parts]);
  t.is(await client.run(whole, null), null);
  t.deepEqual(await client.run(parts, null), { first: null, after: null });
  t.deepEqual(seen, [null, { was: null }]);
});

test("the README's hello is the example, and short", async (t) => {
  const [readme, hello] = await Promise.all([
    readFile(join(home, "README.md"), "utf8"),
    readFile(join(home, "examples/hello.ts"), "utf8"),
  ]);
  t.true(readme.includes(hello));
  t.true(hello.trimEnd().split("\n").length <= 15);
});
