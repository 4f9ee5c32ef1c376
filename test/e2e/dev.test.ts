import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createConnection } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import test, { type ExecutionContext } from "ava";
import { CLI_PATH, runCli } from "../support/run-cli.js";
import { repositoryRoot } from "../support/source-files.js";
import { until } from "../support/until.js";

type Dev = ChildProcessByStdio<null, Readable, Readable>;

const WORKFLOW = JSON.stringify({ name: "order", tasks: [{ id: "charge" }] });

/** Starts `headrace dev` and resolves with its address once it says that it is ready. */
async function startDev(dataDir: string): Promise<{ dev: Dev; address: string; stderr: Promise<string> }> {
  const dev = spawn(process.execPath, [CLI_PATH, "dev", "--port", "0", "--data-dir", dataDir], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stderr = text(dev.stderr);
  const [line] = (await once(createInterface(dev.stdout), "line")) as [string];
  const [, address] = /^headrace: ready on (127\.0\.0\.1:\d+)$/.exec(line) ?? [];
  if (address === undefined) throw new Error(`the first line is ${line}`);
  return { dev, address, stderr };
}

function dataDirectory(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), "headrace-dev-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "data");
}

/** The process id of the PostgreSQL on a data directory. */
function postmasterOf(dataDir: string): number {
  const found = readdirSync(dataDir, { recursive: true, encoding: "utf8" }).find((path) =>
    path.endsWith("postmaster.pid"),
  );
  return Number.parseInt(readFileSync(join(dataDir, found ?? "postmaster.pid"), "utf8"), 10);
}

/** Whether a process is still there, other than as a zombie that nobody has waited for. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return false;
  }
}

async function interrupt(dev: Dev): Promise<number | null> {
  dev.kill("SIGINT");
  const [code] = (await once(dev, "close")) as [number | null];
  return code;
}

test("dev keeps what ran over a restart, has its data alone, and ends at an interrupt", async (t) => {
  const dataDir = dataDirectory(t);
  const first = await startDev(dataDir);
  const env = { HEADRACE_ADDRESS: first.address };
  t.is((await runCli(["workflows", "put", "-"], { env, input: WORKFLOW })).code, 0);
  const started = await runCli(["start", "order", "--input", '{"amount":5}', "--label", "team=a"], { env });
  t.is(started.code, 0, started.stderr);
  const id = started.stdout.trim();

  const second = await runCli(["dev", "--port", "0", "--data-dir", dataDir]);
  t.is(second.code, 5);
  t.true(second.stderr.includes(first.address), second.stderr);

  t.regex((await runCli(["why", id], { env })).stdout, /charge +READY +NO_WORKER/);
  t.is(await interrupt(first.dev), 0, await first.stderr);

  const again = await startDev(dataDir);
  const listed = await runCli(["list", "--label", "team=a", "--json"], {
    env: { HEADRACE_ADDRESS: again.address },
  });
  const { executions } = JSON.parse(listed.stdout) as {
    executions: { executionId: string; status: string }[];
  };
  t.deepEqual(
    executions.map(({ executionId, status }) => [executionId, status]),
    [[id, "EXECUTION_STATUS_RUNNING"]],
  );
  const cancelled = await runCli(["cancel", id, "--reason", "enough"], {
    env: { HEADRACE_ADDRESS: again.address },
  });
  t.is(cancelled.stdout, "cancelled, now CANCELLED\n");
  const watched = await runCli(["watch", id], { env: { HEADRACE_ADDRESS: again.address } });
  t.is(watched.code, 1);
  t.regex(watched.stderr, /is CANCELLED: enough/);
  t.is(await interrupt(again.dev), 0, await again.stderr);
});

test("two interrupts at once are one, as npx sends them, and dev stops what it started", async (t) => {
  const dataDir = dataDirectory(t);
  const { dev, stderr } = await startDev(dataDir);
  const postgres = postmasterOf(dataDir);
  dev.kill("SIGINT");
  t.is(await interrupt(dev), 0, await stderr);
  t.false(runs(postgres));
});

test("a server that a program started for itself does not outlive the program, even when that is killed", async (t) => {
  if (await answers("127.0.0.1", 7400)) {
    t.log("skipped: a server of this machine listens on the default port, and the program would use it");
    t.pass();
    return;
  }
  const dataDir = dataDirectory(t);
  const program = `
    import { connect } from "@headrace/sdk";
    const client = await connect();
    // An idle client keeps no program alive; this one must still be there to be killed.
    setInterval(() => {}, 1_000);
    console.log("connected");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: repositoryRoot,
    env: { PATH: process.env["PATH"] ?? "", HEADRACE_BIN: CLI_PATH, HEADRACE_DATA_DIR: dataDir },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(createInterface(child.stdout), "line");
  const owner = JSON.parse(readFileSync(join(dataDir, "owner.lock"), "utf8")) as { pid: number };
  const pids = [owner.pid, postmasterOf(dataDir)];
  t.deepEqual(pids.map(runs), [true, true]);
  child.kill("SIGKILL");
  await until("the end of the server and of its PostgreSQL", () => !pids.some(runs));
  t.pass();
});

test("dev ends by itself when what it was told to live with is gone before it is ready", async (t) => {
  const args = [CLI_PATH, "dev", "--port", "0", "--with-parent", "--data-dir", dataDirectory(t)];
  const dev = spawn(process.execPath, args, {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const stderr = text(dev.stderr);
  const [code] = (await once(dev, "close")) as [number | null];
  t.is(code, 130, await stderr);
  t.regex(await stderr, /interrupted before the server was ready/);
});

/** Whether something takes connections there. */
function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
