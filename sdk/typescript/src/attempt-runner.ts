import type { Attempt, Outcome } from "./attempt.js";
import type { CancelledError } from "./errors.js";
import { finalFailure } from "./failure.js";
import type { AttemptHost } from "./run-attempt.js";
import { runAttempt } from "./run-attempt.js";
import type { Handler } from "./task-options.js";

/** How many attempts a worker runs, and with what. */
export interface RunnerOptions {
  readonly handlers: ReadonlyMap<string, Handler<never, unknown>>;
  /** Handlers that run at a time. */
  readonly concurrency: number;
  /** Attempts that wait here for a slot, beyond those that run. */
  readonly prefetch: number;
}

/** Called when a handler has ended, after its slot has become free. */
export type Finished = (attempt: Attempt, outcome: Outcome) => void;

/** The slots of a worker: runs attempts in the order of their arrival, so many at a time. */
export class AttemptRunner {
  readonly capacity: number;
  readonly #options: RunnerOptions;
  readonly #queued = new Set<Attempt>();
  readonly #running = new Set<Attempt>();
  #idleWaiters: Array<() => void> = [];
  readonly #host: AttemptHost;
  readonly #finished: Finished;

  constructor(options: RunnerOptions, host: AttemptHost, finished: Finished) {
    this.capacity = options.concurrency + options.prefetch;
    this.#options = options;
    this.#host = host;
    this.#finished = finished;
  }

  /** Attempts that would find a place now. Negative when the server sent more than it was granted. */
  get free(): number {
    return this.capacity - this.#queued.size - this.#running.size;
  }

  add(attempt: Attempt): void {
    this.#queued.add(attempt);
    this.#startNext();
  }

  /** Takes an attempt that waits out of the line. */
  remove(attempt: Attempt): void {
    this.#queued.delete(attempt);
    this.#tellIdle();
  }

  /** Empties the line: what has not started. */
  takeQueued(): readonly Attempt[] {
    const taken = [...this.#queued];
    this.#queued.clear();
    this.#tellIdle();
    return taken;
  }

  /** Tells every running handler to stop. */
  cancelRunning(why: CancelledError): void {
    for (const attempt of this.#running) attempt.cancel(why);
  }

  get running(): readonly Attempt[] {
    return [...this.#running];
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    if (this.#queued.size + this.#running.size === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  #startNext(): void {
    while (this.#running.size < this.#options.concurrency) {
      const [attempt] = this.#queued;
      if (attempt === undefined) return;
      this.#queued.delete(attempt);
      this.#running.add(attempt);
      attempt.state = "RUNNING";
      void this.#run(attempt);
    }
  }

  async #run(attempt: Attempt): Promise<void> {
    const outcome = await this.#outcomeOf(attempt);
    this.#running.delete(attempt);
    this.#startNext();
    this.#finished(attempt, outcome);
    this.#tellIdle();
  }

  #outcomeOf(attempt: Attempt): Promise<Outcome> | Outcome {
    const name = attempt.assignment.handler;
    // The types of a handler end here: its input is whatever the payload holds.
    const handler = this.#options.handlers.get(name) as Handler<unknown, unknown> | undefined;
    if (handler !== undefined) return runAttempt(attempt, handler, this.#host);
    return {
      case: "failure",
      value: finalFailure("HANDLER_NOT_SERVED", `This worker has no handler "${name}"`),
    };
  }

  #tellIdle(): void {
    if (this.#queued.size + this.#running.size > 0) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}
