import type { Client, ExecutionHandle } from "@headrace/sdk";
import type { StepOutput } from "./step.js";
import { chain } from "./step-client.js";

/** Executions that are started one after the other, by several callers, until the test has seen enough. */
export class Load {
  /** Those that the server has acknowledged. */
  readonly handles: Array<ExecutionHandle<StepOutput>> = [];
  readonly #callers: Promise<void>[];
  #stopped = false;
  #awaited: { readonly count: number; readonly resolve: () => void } | undefined;

  constructor(client: Client, callers: number) {
    this.#callers = Array.from({ length: callers }, () => this.#call(client));
  }

  /** Resolves when so many more than now are acknowledged. */
  async more(count: number): Promise<void> {
    const ended = Promise.all(this.#callers);
    const reached = new Promise<void>((resolve) => {
      this.#awaited = { count: this.handles.length + count, resolve };
    });
    await Promise.race([reached, ended]);
  }

  /** Starts no more, waits for every execution and answers their ids. Rejects when one did not complete. */
  async finish(): Promise<string[]> {
    this.#stopped = true;
    await Promise.all(this.#callers);
    await Promise.all(this.handles.map((handle) => handle.result({ timeout: "40s" })));
    return this.handles.map(({ id }) => id);
  }

  async #call(client: Client): Promise<void> {
    while (!this.#stopped) {
      this.handles.push(await client.start(chain, { ms: 5 }));
      if (this.handles.length >= (this.#awaited?.count ?? Infinity)) this.#awaited?.resolve();
    }
  }
}
