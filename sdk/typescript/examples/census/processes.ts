import type { ChildProcess } from "node:child_process";
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A process that this program has started. */
export interface Started extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Aborted, with the reason, when the process has ended although nobody stopped it. */
  readonly gone: AbortSignal;
}

/** The first start creates the database. */
const START_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 20_000;
const LOG_CHARS = 4_000;

/**
 * Starts `headrace dev` on a free port. Its PostgreSQL keeps its data in .headrace/ of the current
 * folder. `program` is its path; without one it is looked for in PATH.
 */
export async function startServer(
  program: string | undefined,
  signal: AbortSignal,
): Promise<Started & { readonly address: string }> {
  const command = program === undefined ? "headrace" : process.execPath;
  const args = [...(program === undefined ? [] : [program]), "dev", "--port", "0", "--json"];
  // In a process group of its own: Ctrl-C reaches only this program, which then stops all in order.
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log = (log + text).slice(-LOG_CHARS)));
  const server = supervise("The server", child, () => explain(log));
  const [line] = await started(
    server,
    once(createInterface(child.stdout), "line") as Promise<[string]>,
    signal,
  );
  return Object.assign(server, JSON.parse(line) as { address: string });
}

/** Starts a worker process, which serves when this resolves. */
export async function startWorker(name: string, address: string, signal: AbortSignal): Promise<Started> {
  const child = fork(fileURLToPath(new URL("worker.js", import.meta.url)), [name], {
    env: { ...process.env, HEADRACE_ADDRESS: address },
    detached: true,
  });
  const worker = supervise(name, child, () => "");
  await started(worker, once(child, "message"), signal);
  return worker;
}

/** Watches over a process. `explanation` is asked when it has ended by itself. */
function supervise(name: string, child: ChildProcess, explanation: () => string): Started {
  const gone = new AbortController();
  let stopping = false;
  const ended = new Promise<void>((resolve) => {
    const end = (how: string): void => {
      process.off("exit", killOnExit);
      if (!stopping) gone.abort(new Error([`${name} ${how}`, explanation()].filter(Boolean).join(": ")));
      resolve();
    };
    child.once("error", (error) => end(`could not be started: ${error.message}`));
    child.once("close", (code, signal) => end(`ended with ${signal ?? `code ${code ?? "unknown"}`}`));
  });
  const killOnExit = (): void => void child.kill();
  process.once("exit", killOnExit);
  return {
    name,
    // Undefined only for one that could not be started, which nobody gets to see.
    pid: child.pid ?? 0,
    gone: gone.signal,
    async [Symbol.asyncDispose]() {
      stopping = true;
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
      await ended;
      clearTimeout(late);
    },
  };
}

/** Why a server ended, by the last line of its log. */
function explain(log: string): string {
  const last = log.trim().split("\n").at(-1) ?? "";
  if (!last.startsWith('{"error":')) return last;
  const { error } = JSON.parse(last) as { error: { message: string; reason: string; remedy?: string } };
  const inUse = error.reason === "DATA_DIR_IN_USE";
  const remedy = inUse ? "Stop that process, or set HEADRACE_DATA_DIR to another folder." : error.remedy;
  return [error.message, remedy].filter(Boolean).join(" ");
}

/** What a process answers once it is ready. A process that does not get so far is stopped. */
async function started<Answer>(
  process: Started,
  ready: Promise<Answer>,
  signal: AbortSignal,
): Promise<Answer> {
  const limit = AbortSignal.timeout(START_WITHIN_MS);
  try {
    return await Promise.race([ready, aborted(AbortSignal.any([process.gone, signal, limit]))]);
  } catch (error) {
    await process[Symbol.asyncDispose]();
    throw limit.aborted
      ? new Error(`${process.name} was not ready within ${START_WITHIN_MS / 1000} s`)
      : error;
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

/** Aborted when none of the processes is left. */
export function allGone(processes: readonly Started[]): AbortSignal {
  const all = new AbortController();
  const check = (): void => {
    if (processes.every(({ gone }) => gone.aborted)) all.abort(new Error("all workers have ended"));
  };
  for (const { gone } of processes) gone.addEventListener("abort", check);
  check();
  return all.signal;
}
