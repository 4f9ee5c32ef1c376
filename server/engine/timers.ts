import type { Clock } from "./clock.js";
import type { Committer } from "./committer.js";
import type { LeaseStore } from "./lease-store.js";
import type { Log } from "./log.js";
import { Loop } from "./loop.js";

const POLL_MS = 1_000;
const BATCH = 1_000;

/**
 * Brings due times to the committer: retries, queue and total timeouts of tasks that nobody runs,
 * deadlines and the end of a cancellation's grace. Every replica looks; a time that another one
 * brought first changes nothing.
 */
export class Timers {
  readonly #store: LeaseStore;
  readonly #committer: Committer;
  readonly #clock: Clock;
  readonly #loop: Loop;

  constructor(store: LeaseStore, committer: Committer, clock: Clock, log: Log) {
    this.#store = store;
    this.#committer = committer;
    this.#clock = clock;
    this.#loop = new Loop("timers", log, () => this.#fire());
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** A commit wrote something that is due then. */
  wakeAt(dueAtMs: number): void {
    this.#loop.wakeIn(Math.max(0, dueAtMs - this.#clock.nowMs()));
  }

  async #fire(): Promise<number> {
    const [tasks, executions] = await Promise.all([
      this.#store.dueTasks(BATCH),
      this.#store.dueExecutions(BATCH),
    ]);
    await Promise.all([
      ...tasks.map(({ nowMs, ...task }) =>
        this.#committer.request<undefined>((reply) => ({ kind: "taskDue", ...task, seenAtMs: nowMs, reply })),
      ),
      ...executions.map(({ nowMs, ...execution }) =>
        this.#committer.request<undefined>((reply) => ({
          kind: "executionDue",
          ...execution,
          seenAtMs: nowMs,
          reply,
        })),
      ),
    ]);
    if (tasks.length === BATCH || executions.length === BATCH) return 0;
    const next = await this.#store.nextDue();
    return next.dueAtMs === undefined ? POLL_MS : Math.min(POLL_MS, Math.max(1, next.dueAtMs - next.nowMs));
  }
}
