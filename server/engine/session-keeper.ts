import type { LossReason } from "../core/command.js";
import { HeadraceError } from "../core/errors.js";
import type { HeldAttempt } from "./held-attempt.js";
import { Loop } from "./loop.js";
import type { Session } from "./session.js";
import type { SessionContext, Sessions } from "./sessions.js";

const TICK_MS = 100;

/**
 * Enforces the times of the worker protocol: silence, grace after a broken stream, acknowledgement of
 * deliveries, and the attempt, heartbeat and total timeouts of what sessions hold.
 */
export class SessionKeeper {
  readonly #context: SessionContext;
  readonly #sessions: Sessions;
  readonly #confirm: () => Promise<void>;
  readonly #loop: Loop;

  /** `confirm` rejects when the database does not answer. */
  constructor(context: SessionContext, sessions: Sessions, confirm: () => Promise<void>) {
    this.#context = context;
    this.#sessions = sessions;
    this.#confirm = confirm;
    this.#loop = new Loop("session-keeper", context.log, () => this.#tick());
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  async #tick(): Promise<number> {
    const nowMs = this.#sessions.nowMs();
    for (const session of [...this.#sessions.all]) {
      this.#checkAttempts(session, nowMs);
      this.#checkStream(session, nowMs);
    }
    await this.#expireDue();
    return TICK_MS;
  }

  async #expireDue(): Promise<void> {
    const due = [...this.#sessions.all].filter((session) => this.#isGraceOver(session));
    if (due.length === 0) return;
    // Workers cannot resume while the database is away, which is noticed here at the latest.
    await this.#confirm();
    for (const session of due) if (this.#isGraceOver(session)) await this.#sessions.expire(session);
  }

  /** A worker has as long after an outage as if it had fallen silent with it. */
  #isGraceOver({ graceDueMs, facts }: Session): boolean {
    if (graceDueMs === undefined) return false;
    return Math.max(graceDueMs, this.#context.outages.lastMs + facts.silenceMs) <= this.#sessions.nowMs();
  }

  /** Attempts end by times that are stored, which are the database's; beats pass by this process alone. */
  #checkAttempts(session: Session, nowMs: number): void {
    const databaseMs = this.#context.clock.nowMs();
    const unheard: HeldAttempt[] = [];
    for (const attempt of session.held.values()) {
      if (attempt.losing) continue;
      if (attempt.dueAtMs !== undefined && attempt.dueAtMs <= databaseMs) {
        this.#sessions.lose(attempt, attempt.dueReason, false);
      } else if (isBeatDue(attempt, nowMs)) unheard.push(attempt);
    }
    if (unheard.length > 0) this.#loseUnlessMoved(session, unheard, "HEARTBEAT_TIMEOUT");
  }

  /** Takes back what a session holds, unless its worker goes on with it on another stream. */
  #loseUnlessMoved(session: Session, attempts: readonly HeldAttempt[], reason: LossReason): void {
    for (const attempt of attempts) attempt.losing = true;
    this.#judge(session, attempts, reason).catch((error: unknown) => {
      for (const attempt of attempts) attempt.losing = false;
      const { sessionId } = session;
      this.#context.log.warn({ sessionId, reason, err: error }, "what a session holds could not be judged");
    });
  }

  async #judge(session: Session, attempts: readonly HeldAttempt[], reason: LossReason): Promise<void> {
    const isHere = await this.#isServedHere(session);
    const nowMs = this.#sessions.nowMs();
    for (const attempt of attempts) {
      attempt.losing = false;
      const hasBeaten = reason === "HEARTBEAT_TIMEOUT" && !isBeatDue(attempt, nowMs);
      if (isHere && !hasBeaten) this.#sessions.lose(attempt, reason, false);
    }
  }

  /** A worker may have gone on at another replica, while its old stream here still seemed open. */
  async #isServedHere(session: Session): Promise<boolean> {
    const { store, replicaId } = this.#context;
    const tasks = await store.readHeldTasks([session.sessionId]);
    const isElsewhere = tasks.some((task) => task.replicaId !== replicaId);
    if (isElsewhere) this.#sessions.moved(session);
    return !isElsewhere && this.#sessions.isSettled(session);
  }

  #checkStream(session: Session, nowMs: number): void {
    if (!session.connected) return;
    const silentMs = nowMs - Math.max(session.lastMessageMs, session.awaitsUntilMs);
    if (silentMs > session.facts.silenceMs) {
      session.close(silence(silentMs, session.facts.silenceMs));
      session.graceDueMs = nowMs;
      return;
    }
    const sinceMs = session.unacknowledgedSinceMs;
    // A polling worker acknowledges with its next call, which may come when its task is done.
    if (sinceMs === undefined || session.facts.polls) return;
    const { deliveryTimeoutMs } = this.#context.settings;
    const waitedMs = nowMs - sinceMs;
    if (waitedMs > deliveryTimeoutMs) this.#takeBack(session, waitedMs);
    else if (waitedMs > deliveryTimeoutMs / 2) session.ping();
  }

  /** The worker does not acknowledge what it is sent: what it cannot have received goes to others. */
  #takeBack(session: Session, waitedMs: number): void {
    const undelivered = [...session.held.values()].filter(
      (attempt) => !session.isDelivered(attempt) && !attempt.losing,
    );
    const limit = this.#context.settings.deliveryTimeoutMs;
    session.close(
      new HeadraceError(
        "DELIVERY_NOT_ACKNOWLEDGED",
        `${undelivered.length} assignments were not acknowledged within ${limit} ms.`,
        { limit, actual: Math.round(waitedMs) },
      ),
    );
    // What cannot be judged now goes back when the grace of the session is over.
    this.#loseUnlessMoved(session, undelivered, "UNDELIVERED");
  }
}

function isBeatDue({ heartbeatTimeoutMs, lastBeatMs }: HeldAttempt, nowMs: number): boolean {
  return heartbeatTimeoutMs !== undefined && lastBeatMs + heartbeatTimeoutMs <= nowMs;
}

function silence(silentMs: number, limit: number): HeadraceError {
  return new HeadraceError(
    "PROTOCOL_VIOLATION",
    `The worker said nothing for ${Math.round(silentMs)} ms; the limit is ${limit}.`,
    {
      limit,
      actual: Math.round(silentMs),
    },
  );
}
