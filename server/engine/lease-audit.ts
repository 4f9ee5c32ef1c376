import { handOutKey, heldKey, holdAttempt, refOf, type HeldAttempt } from "./held-attempt.js";
import type { ServedTask } from "./lease-store.js";
import { Loop } from "./loop.js";
import type { SessionContext, Sessions } from "./sessions.js";

const AUDIT_MS = 5_000;

/**
 * Compares what sessions hold in memory with what the database says that they hold. The two can part
 * when the outcome of a commit is unknown, or when another replica ended an attempt by force.
 */
export class LeaseAudit {
  readonly #context: SessionContext;
  readonly #sessions: Sessions;
  readonly #loop: Loop;
  /** Missing in the last audit; only what is missing twice is gone, as commits may be under way. */
  #missing = new Set<HeldAttempt>();

  constructor(context: SessionContext, sessions: Sessions) {
    this.#context = context;
    this.#sessions = sessions;
    this.#loop = new Loop("lease-audit", context.log, () => this.audit().then(() => AUDIT_MS));
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  async audit(): Promise<void> {
    const sessions = [...this.#sessions.all];
    if (sessions.length === 0) return;
    const tasks = await this.#context.store.readHeldTasks(sessions.map((session) => session.sessionId));
    for (const task of tasks) this.#takeBackUnknown(task);
    this.#stopEnded(tasks);
  }

  /** The database says that a session has it, and the session was never given it. */
  #takeBackUnknown(task: ServedTask): void {
    const session = this.#sessions.get(task.sessionId);
    const nowMs = this.#context.clock.nowMs();
    // A session that moved is served elsewhere, and only there it is known what it was given.
    if (task.replicaId !== this.#context.replicaId) return;
    if (session === undefined || nowMs - task.startedAtMs < this.#context.settings.deliveryTimeoutMs) return;
    if (session.held.get(heldKey(task))?.ref.lease === task.lease) return;
    const ref = refOf(task);
    this.#context.log.warn(
      { sessionId: task.sessionId, ...ref },
      "a hand-out was never sent, it is taken back",
    );
    this.#sessions.lose(holdAttempt({ ...task, ref }, 0, nowMs), "UNDELIVERED", false);
  }

  /** A session has it, and the database says that it is over. */
  #stopEnded(tasks: readonly ServedTask[]): void {
    const standing = new Set(tasks.map((task) => handOutKey(task)));
    const missing = new Set<HeldAttempt>();
    for (const session of this.#sessions.all) {
      for (const attempt of session.held.values()) {
        if (standing.has(handOutKey(attempt.ref))) continue;
        if (!this.#missing.has(attempt)) missing.add(attempt);
        else {
          const notice = { reason: "LEASE_LOST", outcomeWanted: false, deadlineAtMs: undefined };
          this.#sessions.tellStop(attempt.ref, session.sessionId, notice);
        }
      }
    }
    this.#missing = missing;
  }
}
