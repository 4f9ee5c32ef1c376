import { execFile } from "node:child_process";
import { readFile, readlink, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { codeOf } from "../sql-errors.js";

/** What a running PostgreSQL says of itself in the file postmaster.pid of its data directory. */
export interface PostmasterFile {
  readonly pid: number;
  readonly port: number;
  /** As PostgreSQL was told, so possibly relative to its own working directory. */
  readonly socketDir: string;
  readonly status: "starting" | "stopping" | "ready" | "unknown";
}

const POLL_MS = 10;
const WATCH_MS = 500;
const FAST_SHUTDOWN_MS = 10_000;

/** The file, or undefined when there is none. */
export async function readPostmasterFile(dataDir: string): Promise<PostmasterFile | undefined> {
  let text: string;
  try {
    text = await readFile(join(dataDir, "postmaster.pid"), "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  // Lines: pid, data directory, start time, port, socket directory, listen address, shared memory, status.
  const lines = text.split("\n").map((line) => line.trim());
  const status = lines[7];
  return {
    pid: Number(lines[0]),
    port: Number(lines[3] ?? ""),
    socketDir: lines[4] ?? "",
    status: status === "starting" || status === "stopping" || status === "ready" ? status : "unknown",
  };
}

/**
 * The file of a PostgreSQL that really runs on this directory. A file that was left behind by one
 * that was killed is removed, also when its process id belongs to somebody else by now.
 */
export async function findRunning(dataDir: string): Promise<PostmasterFile | undefined> {
  const file = await readPostmasterFile(dataDir);
  if (file === undefined) return undefined;
  if ((await isAlive(file.pid)) && (await runsOn(file.pid, dataDir))) return file;
  await rm(join(dataDir, "postmaster.pid"), { force: true });
  await rm(join(dataDir, `.s.PGSQL.${file.port}.lock`), { force: true });
  return undefined;
}

/** Resolves with the file once PostgreSQL is ready; with undefined when its process is gone. */
export async function waitUntilReady(dataDir: string, pid: number): Promise<PostmasterFile | undefined> {
  for (;;) {
    const file = await readPostmasterFile(dataDir);
    if (file?.pid === pid && file.status === "ready") return file;
    if (!(await isAlive(pid))) return undefined;
    await sleep(POLL_MS);
  }
}

/** Resolves when there is no such process. */
export async function waitUntilGone(pid: number): Promise<void> {
  while (await isAlive(pid)) await sleep(POLL_MS);
}

/** The same at leisure, and without keeping a process alive that has nothing else to do. */
export async function watchUntilGone(pid: number): Promise<void> {
  while (await isAlive(pid)) await sleep(WATCH_MS, undefined, { ref: false });
}

/**
 * Fast shutdown: open transactions are aborted, everything committed is written. When that takes
 * longer than 10 s the server is told to quit at once and recovers at its next start.
 */
export async function stopPostmaster(pid: number, log: (message: string) => void): Promise<void> {
  if (!signal(pid, "SIGINT")) return;
  const gone = waitUntilGone(pid).then(() => true);
  if (await Promise.race([gone, sleep(FAST_SHUTDOWN_MS, false, { ref: false })])) return;
  log(`PostgreSQL (pid ${pid}) did not shut down within ${FAST_SHUTDOWN_MS} ms; it is ended at once`);
  signal(pid, "SIGQUIT");
  await gone;
}

/** A process that has ended but was not collected by its parent counts as gone. */
export async function isAlive(pid: number): Promise<boolean> {
  if (!Number.isInteger(pid) || pid <= 0 || !signal(pid, 0)) return false;
  if (process.platform !== "linux") return true;
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && !/^\d+ \(.*\) [ZX]/s.test(stat);
}

/** Sends a signal; false when there is no such process. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** The working directory of a postmaster is its data directory. */
async function runsOn(pid: number, dataDir: string): Promise<boolean> {
  if (process.platform === "linux") {
    const directory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
    return directory === (await realpath(dataDir));
  }
  const { stdout } = await promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]);
  return stdout.includes("postgres");
}
