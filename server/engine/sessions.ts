import type { LossReason } from "../core/command.js";
import { HeadraceError } from "../core/errors.js";
import type { AttemptRef, CancelNotice, ProgressValue, ReportAck, ReportEntry } from "./api.js";
import type { Clock } from "./clock.js";
import type { ExecutionKey } from "./commit-store.js";
import { blame, wasReceived } from "./blame.js";
import type { Committer } from "./committer.js";
import type { Dispatcher } from "./dispatcher.js";
import { heldKey, type HeldAttempt } from "./held-attempt.js";
import type { LeaseStore, SessionKey } from "./lease-store.js";
import type { Log } from "./log.js";
import type { Outages } from "./outages.js";
import { Session, type SessionOwner } from "./session.js";
import type { WorkerSettings } from "./worker-settings.js";

/** What the session modules share. */
export interface SessionContext {
  readonly replicaId: string;
  readonly store: LeaseStore;
  readonly committer: Committer;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly outages: Outages;
  readonly settings: WorkerSettings;
  readonly log: Log;
}

/** The sessions of this replica and everything that they hold. */
export class Sessions implements SessionOwner {
  readonly #context: SessionContext;
  readonly #sessions = new Map<string, Session>();
  readonly #expiring = new Map<string, Promise<void>>();
  /** How many resumptions of a session are under way. */
  readonly #keptOpen = new Map<string, number>();
  #onStir: (key: ExecutionKey) => void = () => undefined;

  constructor(context: SessionContext) {
    this.#context = context;
  }

  get all(): Iterable<Session> {
    return this.#sessions.values();
  }

  get size(): number {
    return this.#sessions.size;
  }

  get(sessionId: string): Session | undefined {
    return this.#sessions.get(sessionId);
  }

  /** Names who hears that executions have something new to see. */
  onStir(listener: (key: ExecutionKey) => void): void {
    this.#onStir = listener;
  }

  /** How far the attempt says it is that a local session has; undefined when none has it. */
  progressOf(sessionId: string, ref: Parameters<typeof heldKey>[0]): ProgressValue | undefined {
    return this.#sessions.get(sessionId)?.held.get(heldKey(ref))?.progress;
  }

  /** Begins to serve a session, in place of an earlier stream of it. */
  add(session: Session, adopted: readonly HeldAttempt[]): void {
    const earlier = this.#sessions.get(session.sessionId);
    if (earlier !== undefined) this.replace(earlier);
    this.#sessions.set(session.sessionId, session);
    for (const attempt of adopted) session.hold(attempt);
    this.#context.dispatcher.add(session);
  }

  /** Ends the stream here of a session that another replica serves. */
  moved(session: Session): void {
    session.close(
      new HeadraceError("SESSION_REPLACED", "The worker resumed this session on another replica."),
    );
    this.remove(session);
  }

  /** Ends a stream whose session goes on with another. */
  replace(session: Session): void {
    session.close(
      new HeadraceError("SESSION_REPLACED", "The worker resumed this session on another stream."),
    );
    this.remove(session);
  }

  /**
   * Keeps a session from being given up while its worker resumes it: resolves when no end of it is
   * under way, and none begins before the answer is called.
   */
  async keepOpen(sessionId: string): Promise<() => void> {
    await this.#expiring.get(sessionId);
    this.#keptOpen.set(sessionId, (this.#keptOpen.get(sessionId) ?? 0) + 1);
    return () => {
      const others = (this.#keptOpen.get(sessionId) ?? 0) - 1;
      if (others > 0) this.#keptOpen.set(sessionId, others);
      else this.#keptOpen.delete(sessionId);
    };
  }

  /** Whether the session is served here, and no worker is resuming it. */
  isSettled(session: Session): boolean {
    const { sessionId } = session;
    return this.#sessions.get(sessionId) === session && !this.#keptOpen.has(sessionId);
  }

  /** Stops serving a session, because it was closed or moved. */
  remove(session: Session): void {
    if (this.#sessions.get(session.sessionId) === session) this.#sessions.delete(session.sessionId);
    this.#context.dispatcher.remove(session);
  }

  /** What passes between a worker and this process is timed by its own clock, which never jumps. */
  nowMs(): number {
    return performance.now();
  }

  stirred(key: ExecutionKey): void {
    this.#onStir(key);
  }

  granted(session: Session): void {
    this.#context.dispatcher.granted(session);
  }

  disconnected(session: Session): void {
    session.graceDueMs ??= this.nowMs() + this.#context.settings.closedGraceMs;
  }

  drained(session: Session): void {
    const { store, replicaId, log } = this.#context;
    const { namespaceId } = session.facts;
    store.setSessionDraining(namespaceId, session.sessionId, replicaId).catch((error: unknown) => {
      log.warn({ sessionId: session.sessionId, err: error }, "could not note that a worker drains");
    });
  }

  report(session: Session, entry: ReportEntry): void {
    this.commitReport(session, entry).then(
      (ack) => session.acknowledge(ack),
      (error: unknown) => {
        this.#context.log.warn({ ...entry.attempt, err: error }, "a report could not be committed");
        // The worker keeps what is not acknowledged and sends it again when it reconnects, which is of no
        // use for what can never be committed.
        if (isFinal(error)) session.acknowledge(rejection(entry, error));
        else session.close(asError(error));
      },
    );
  }

  /** Commits what became of an attempt. Rejects when the database does not answer. */
  async commitReport(session: Session, entry: ReportEntry): Promise<ReportAck> {
    const { attempt: ref, outcome } = entry;
    const held = session.held.get(heldKey(ref));
    const heartbeat = outcome.kind === "failure" && held?.ref.lease === ref.lease ? held.details : undefined;
    const ack = await this.#context.committer.request<ReportAck>((reply) => ({
      kind: "report",
      namespaceId: session.facts.namespaceId,
      ref,
      sessionId: session.sessionId,
      outcome,
      heartbeat,
      reply,
    }));
    if (ack.result !== "REJECTED") this.release(session, ref);
    return ack;
  }

  /** A hand-out is over. */
  release(session: Session, ref: AttemptRef): void {
    const current = this.#sessions.get(session.sessionId) ?? session;
    const suspect = current.suspects > 0;
    if (current.release(heldKey(ref), ref.lease) && suspect) this.#context.dispatcher.suspectEnded();
  }

  /** Takes a hand-out back; the worker is told when it is there. */
  lose(attempt: HeldAttempt, reason: LossReason, counted: boolean): void {
    if (attempt.losing) return;
    attempt.losing = true;
    const { committer, log } = this.#context;
    committer.submit({
      kind: "lose",
      namespaceId: attempt.namespaceId,
      ref: attempt.ref,
      reason,
      counted,
      heartbeat: attempt.details,
      reply: {
        resolve: () => this.#lost(attempt),
        reject: (error) => {
          attempt.losing = false;
          log.warn(
            { ...attempt.ref, reason, err: error },
            "a hand-out could not be taken back, it is tried again",
          );
        },
      },
    });
  }

  #lost(attempt: HeldAttempt): void {
    const session = this.#sessions.get(attempt.sessionId);
    if (session !== undefined) this.release(session, attempt.ref);
  }

  /**
   * Tells the worker that has the task, or had it until now: a hand-out that the server itself ends
   * is released as soon as that is committed. Nothing happens when the session is not here.
   */
  tellStop(ref: AttemptRef, sessionId: string | undefined, notice: Omit<CancelNotice, "attempt">): void {
    const session = sessionId === undefined ? undefined : this.#sessions.get(sessionId);
    if (session === undefined) return;
    const held = session.held.get(heldKey(ref));
    const attempt = held?.ref.lease === ref.lease ? held : undefined;
    if (attempt?.stopping !== true || !notice.outcomeWanted) session.tellStop([{ attempt: ref, ...notice }]);
    if (attempt === undefined) return;
    attempt.stopping = true;
    if (!notice.outcomeWanted) this.release(session, ref);
  }

  /** Gives a session up: what it had goes to others. Nothing happens when it was or is being resumed. */
  async expire(session: Session): Promise<void> {
    if (this.isSettled(session)) await this.#end(session.sessionId, this.#expire(session));
  }

  /**
   * Closes a session that is this replica's in the database and that it does not serve, such as one
   * whose resumption failed halfway. False when it is served, is being resumed, or moved.
   */
  async abandon({ namespaceId, sessionId }: SessionKey): Promise<boolean> {
    if (this.#sessions.has(sessionId) || this.#keptOpen.has(sessionId)) return false;
    const { store, replicaId } = this.#context;
    return this.#end(sessionId, store.closeSession(namespaceId, sessionId, replicaId));
  }

  /** Whoever resumes the session meanwhile waits for its end. */
  async #end<T>(sessionId: string, ending: Promise<T>): Promise<T> {
    this.#expiring.set(
      sessionId,
      ending.then(
        () => undefined,
        () => undefined,
      ),
    );
    try {
      return await ending;
    } finally {
      this.#expiring.delete(sessionId);
    }
  }

  async #expire(session: Session): Promise<void> {
    const { store, replicaId, outages, log } = this.#context;
    const { namespaceId, workerName } = session.facts;
    const mine = await outages.watch(store.closeSession(namespaceId, session.sessionId, replicaId));
    this.remove(session);
    if (!mine) return;
    const held = [...session.held.values()];
    if (held.length > 0) {
      log.warn(
        { sessionId: session.sessionId, workerName, held: held.length },
        "a worker is gone, its tasks go to others",
      );
    }
    const received = new Set(held.filter((attempt) => wasReceived(session, attempt)));
    const blamed = blame([...received]);
    for (const attempt of held) {
      this.lose(attempt, received.has(attempt) ? "WORKER_LOST" : "UNDELIVERED", blamed.has(attempt));
    }
  }
}

function isFinal(error: unknown): error is HeadraceError {
  return error instanceof HeadraceError && !error.retryable;
}

function rejection({ attempt }: ReportEntry, { reason, message }: HeadraceError): ReportAck {
  return { attempt, result: "REJECTED", reason, message };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
