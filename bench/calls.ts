import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What a child process offers; arguments and answers travel as JSON. */
export type Calls<Offer> = {
  readonly [Name in keyof Offer]: (argument: never) => Promise<unknown>;
};

interface CallMessage {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface AnswerMessage {
  readonly id: number;
  readonly answer?: unknown;
  /** Stack of the error that the call ended with. */
  readonly error?: string;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** How long a process may take to end after it was asked to. */
const END_WITHIN_MS = 10_000;

/** A process of the benchmark that does one job and is asked by calls. */
export class HelperProcess<Offer extends Calls<Offer>> {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  /** Starts a compiled module of this directory that calls `offerCalls`. */
  constructor(module: string, nodeArguments: readonly string[] = []) {
    this.#name = module;
    this.#child = fork(fileURLToPath(new URL(`./${module}.js`, import.meta.url)), {
      execArgv: ["--enable-source-maps", ...nodeArguments],
    });
    this.#child.on("message", (message) => this.#answered(message as AnswerMessage));
    this.#child.once("error", (error) => this.#failAll(error));
    this.#child.once("exit", (code, signal) =>
      this.#failAll(new Error(`The process ${module} ended with ${signal ?? code ?? "no code"}`)),
    );
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`The process ${this.#name} did not start`);
    return this.#child.pid;
  }

  /** Rejects with the error of the call, or when the process ends before it answers. */
  call<Name extends keyof Offer & string>(
    name: Name,
    ...[argument]: Parameters<Offer[Name]>
  ): ReturnType<Offer[Name]> {
    const id = ++this.#lastId;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, name, argument } satisfies CallMessage, (error) => {
        if (error !== null) reject(error);
      });
    });
    return answer as ReturnType<Offer[Name]>;
  }

  /** Lets the process end by itself, which it does when nobody can call it any more. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_WITHIN_MS);
    await ended;
    clearTimeout(timer);
  }

  #answered({ id, answer, error }: AnswerMessage): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(`${this.#name}: ${error}`));
  }

  #failAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** The other end: answers calls until the parent disconnects, then calls `end`. */
export function offerCalls<Offer extends Calls<Offer>>(offer: Offer, end: () => Promise<void>): void {
  // Ctrl-C reaches every process of a terminal; the parent then ends this one in order.
  process.on("SIGINT", () => undefined);
  process.on("message", (message) => void answer(offer, message as CallMessage));
  process.once("disconnect", () => void end());
}

async function answer<Offer extends Calls<Offer>>(offer: Offer, call: CallMessage): Promise<void> {
  try {
    // The parent's types say that the name is one of those offered, with an argument of its type.
    const method = offer[call.name as keyof Offer] as (argument: never) => Promise<unknown>;
    send({ id: call.id, answer: await method(call.argument as never) });
  } catch (error) {
    send({ id: call.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

/** A parent that is gone wants no answer. */
function send(message: AnswerMessage): void {
  if (process.connected) process.send?.(message);
}
