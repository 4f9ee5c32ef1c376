import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { EventLog } from "./event-log.js";

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Opens a channel for messages of both sides, and gets those of the process. */
  readonly onMessage?: (message: unknown) => void;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A Node program whose lines, messages and end a test waits for. It never outlives the test's process. */
export class Child {
  readonly pid: number;
  readonly stdout = new EventLog<string>();
  readonly stderr = new EventLog<string>();
  readonly exited: Promise<Exit>;
  readonly #process: ChildProcess;

  /** The program gets no environment but PATH and what the options give. */
  constructor(program: string, args: readonly string[], { env, cwd, onMessage }: ChildOptions = {}) {
    this.#process = spawn(process.execPath, [program, ...args], {
      env: { PATH: process.env["PATH"] ?? "", ...env },
      stdio: ["ignore", "pipe", "pipe", ...(onMessage === undefined ? [] : (["ipc"] as const))],
      ...(cwd === undefined ? {} : { cwd }),
    });
    const { pid } = this.#process;
    if (pid === undefined) throw new Error(`${program} could not be started`);
    this.pid = pid;
    running.add(this.#process);
    readLines(this.#process.stdout, this.stdout);
    readLines(this.#process.stderr, this.stderr);
    if (onMessage !== undefined) this.#process.on("message", onMessage);
    this.exited = new Promise((resolve) => {
      this.#process.once("close", (code, signal) => {
        running.delete(this.#process);
        resolve({ code, signal });
      });
    });
  }

  send(message: object): void {
    // A process that has ended meanwhile has nothing left to be told.
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** As the kernel or an operator does it: no handler of the process runs. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  /** Asks the process to end, and answers how it did. */
  async terminate(): Promise<Exit> {
    this.#process.kill("SIGTERM");
    return this.exited;
  }

  /** The first line of standard output that matches. Rejects with the errors when the process ends before. */
  async lineOf(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    const died = this.exited.then(({ code, signal }) => {
      throw new Error(`ended with ${signal ?? code ?? ""} before ${pattern}:\n${this.stderr.all.join("\n")}`);
    });
    const line = await Promise.race([this.stdout.find((text) => pattern.test(text), timeoutMs), died]);
    return pattern.exec(line)!;
  }
}

function readLines(stream: Readable | null, log: EventLog<string>): void {
  if (stream !== null) createInterface({ input: stream }).on("line", (line) => log.push(line));
}
