import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The server as users run it: the process of the command line program. */
export interface ServerProcess {
  /** host:port */
  readonly address: string;
  readonly pid: number;
  /** What it has logged so far, warnings and worse. */
  log(): string;
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL("../server/cli/main.js", import.meta.url));
const READY_WITHIN_MS = 30_000;
const END_WITHIN_MS = 40_000;

/** Starts `headrace serve` on a free port and waits until it is ready. */
export async function startServer(
  databaseUrl: string,
  nodeArguments: readonly string[],
): Promise<ServerProcess> {
  const args = ["serve", "--database-url", databaseUrl, "--port", "0", "--log-level", "warn", "--json"];
  const child = spawn(process.execPath, [...nodeArguments, PROGRAM, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    // Settings of the user's own server must not change what is measured.
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: process.env.TMPDIR },
    // Ctrl-C in a terminal must reach this process first, which then stops the server in order.
    detached: true,
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const gone = once(child, "close").then(([code, signal]) => {
    throw new Error(`The server ended with ${String(signal ?? code)}:\n${log}`);
  });
  // Whoever waits for readiness hears of it; afterwards the calls that it does not answer tell.
  gone.catch(() => undefined);
  const line = once(createInterface({ input: child.stdout }), "line", {
    signal: AbortSignal.timeout(READY_WITHIN_MS),
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const timer = setTimeout(() => child.kill("SIGKILL"), END_WITHIN_MS);
    child.kill("SIGTERM");
    await gone.catch(() => undefined);
    clearTimeout(timer);
  };
  try {
    const [text] = (await Promise.race([line, gone])) as [string];
    const { address } = JSON.parse(text) as { address: string };
    return { address, pid: child.pid ?? 0, log: () => log, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
