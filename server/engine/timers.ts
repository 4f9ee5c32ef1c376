import type { Clock } from "./clock.js";
import type { Committer } from "./committer.js";
import { DueLine, type DueSource } from "./due-line.js";
import { heldKey } from "./held-attempt.js";
import type { DueExecution, DueTask, LeaseStore } from "./lease-store.js";
import type { Log } from "./log.js";
import { Loop } from "./loop.js";

const POLL_MS = 1_000;
/** While something that is due is under way or was refused. */
const BUSY_POLL_MS = 100;

/**
 * Brings due times to the committer: retries, queue and total timeouts of tasks that nobody runs,
 * deadlines and the end of a cancellation's grace. Every replica looks; a time that another one
 * brought first changes nothing.
 */
export class Timers {
  readonly #store: LeaseStore;
  readonly #tasks: DueLine<DueTask>;
  readonly #executions: DueLine<DueExecution>;
  readonly #clock: Clock;
  readonly #loop: Loop;

  constructor(store: LeaseStore, committer: Committer, clock: Clock, log: Log) {
    this.#store = store;
    this.#tasks = new DueLine(dueTasks(store, committer), log);
    this.#executions = new DueLine(dueExecutions(store, committer), log);
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
    const [tasks, executions] = await Promise.all([this.#tasks.begin(), this.#executions.begin()]);
    // An execution can take long, such as a wide graph that opens: timers of others go on meanwhile.
    await tasks.settled;
    if (tasks.isMore || executions.isMore) return 0;
    // What is left out is still due, so the database cannot say what comes after it.
    if (this.#tasks.skips || this.#executions.skips) return BUSY_POLL_MS;
    const next = await this.#store.nextDue();
    return next.dueAtMs === undefined ? POLL_MS : Math.min(POLL_MS, Math.max(1, next.dueAtMs - next.nowMs));
  }
}

function dueTasks(store: LeaseStore, committer: Committer): DueSource<DueTask> {
  return {
    read: (limit) => store.dueTasks(limit),
    keyOf: ({ namespaceId, ...task }) => `${namespaceId}/${heldKey(task)}`,
    bring: ({ nowMs, ...task }) =>
      committer.request<undefined>((reply) => ({ kind: "taskDue", ...task, seenAtMs: nowMs, reply })),
  };
}

function dueExecutions(store: LeaseStore, committer: Committer): DueSource<DueExecution> {
  return {
    read: (limit) => store.dueExecutions(limit),
    keyOf: ({ namespaceId, executionId }) => `${namespaceId}/${executionId}`,
    bring: ({ nowMs, ...execution }) =>
      committer.request<undefined>((reply) => ({
        kind: "executionDue",
        ...execution,
        seenAtMs: nowMs,
        reply,
      })),
  };
}
