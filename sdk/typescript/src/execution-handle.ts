import type { CancelOptions, PushedEnd, ResultOptions, WatchOptions } from "./executions.js";
import type { Executions, ExecutionUpdate } from "./executions.js";

/** An execution that was started. */
export class ExecutionHandle<Out> {
  readonly id: string;
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  readonly workflow: string;
  readonly version: string;
  /** False when the execution existed: the start was a repeat. */
  readonly created: boolean;
  readonly #executions: Executions;
  readonly #pushed: PushedEnd | undefined;

  constructor(
    executions: Executions,
    facts: { executionId: string; traceId: string; workflow: string; version: string; created: boolean },
    pushed?: PushedEnd,
  ) {
    this.#executions = executions;
    this.#pushed = pushed;
    this.id = facts.executionId;
    this.traceId = facts.traceId;
    this.workflow = facts.workflow;
    this.version = facts.version;
    this.created = facts.created;
  }

  /** Waits for the output. Rejects with ExecutionFailedError when the execution did not complete. */
  async result(options: ResultOptions = {}): Promise<Out> {
    return (await this.#executions.result(this.id, options, this.#pushed)) as Out;
  }

  /** The state now and each change until the end. */
  watch(options: WatchOptions = {}): AsyncGenerator<ExecutionUpdate, void, undefined> {
    return this.#executions.watch(this.id, options);
  }

  /** Asks the execution to end. Answers false when it had ended, or was being cancelled, before. */
  cancel(options: CancelOptions = {}): Promise<boolean> {
    return this.#executions.cancel(this.id, options);
  }
}
