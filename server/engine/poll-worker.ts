import { HeadraceError } from "../core/errors.js";
import type {
  Assignment,
  AttemptRef,
  BeatEntry,
  CancelNotice,
  PollRequest,
  ReportAck,
  ReportEntry,
} from "./api.js";
import { adoptAttempt, factsOf, sessionRow } from "./connect-worker.js";
import { handOutKey, heldKey, type HeldAttempt } from "./held-attempt.js";
import { uuidv7 } from "./ids.js";
import type { SessionRow } from "./lease-store.js";
import { Mailbox } from "./mailbox.js";
import { Session } from "./session.js";
import type { SessionContext, Sessions } from "./sessions.js";

/** Serves hosts that cannot hold a stream, with the sessions, leases and fences of the streams. */
export class PollWorkers {
  readonly #context: SessionContext;
  readonly #sessions: Sessions;
  readonly #mailboxes = new WeakMap<Session, Mailbox>();

  constructor(context: SessionContext, sessions: Sessions) {
    this.#context = context;
    this.#sessions = sessions;
  }

  /** Takes tasks, waiting for the first if asked to. Each call renews the session. */
  async poll(
    namespaceId: number,
    request: PollRequest,
    signal: AbortSignal,
  ): Promise<{ sessionId: string; assignments: readonly Assignment[]; cancels: readonly CancelNotice[] }> {
    const { session, mailbox } =
      request.sessionId === ""
        ? await this.#open(namespaceId, request)
        : await this.#find(namespaceId, request.sessionId);
    session.received(mailbox.takenFrame);
    if (request.held !== undefined) this.#compare(session, mailbox, request.held);
    if (request.maxTasks > 0) await this.#waitForTasks(session, mailbox, request, signal);
    const { sessionId } = session;
    // Nobody is there to take them: they wait for the next call.
    if (signal.aborted) return { sessionId, assignments: [], cancels: [] };
    return {
      sessionId,
      assignments: mailbox.takeAssignments(request.maxTasks),
      cancels: mailbox.takeCancels(),
    };
  }

  /**
   * Sets what the worker says that it holds against what it was handed. An answer that was lost on its
   * way is noticed here: its tasks go to others, at no cost of a try. What it should no longer have, it
   * is told.
   */
  #compare(session: Session, mailbox: Mailbox, claimed: readonly AttemptRef[]): void {
    const held = new Set(claimed.map(handOutKey));
    for (const attempt of session.held.values()) {
      if (held.delete(handOutKey(attempt.ref)) || mailbox.has(attempt.ref)) continue;
      this.#sessions.lose(attempt, "UNDELIVERED", false);
    }
    const notice = { reason: "LEASE_LOST", outcomeWanted: false, deadlineAtMs: undefined };
    const gone = claimed.filter((ref) => held.has(handOutKey(ref)));
    mailbox.cancel(gone.map((attempt) => ({ attempt, ...notice })));
  }

  async #waitForTasks(
    session: Session,
    mailbox: Mailbox,
    { maxTasks, waitMs }: PollRequest,
    signal: AbortSignal,
  ): Promise<void> {
    session.setCredit(maxTasks - mailbox.waiting);
    session.awaitsUntilMs = this.#sessions.nowMs() + waitMs;
    await mailbox.waitForAssignments(waitMs, signal);
    session.setCredit(0);
    session.awaitsUntilMs = 0;
    session.received(0);
  }

  /** Commits outcomes and takes beats in. */
  async report(
    namespaceId: number,
    request: { sessionId: string; reports: readonly ReportEntry[]; beats: readonly BeatEntry[] },
  ): Promise<{ acks: readonly ReportAck[]; cancels: readonly CancelNotice[] }> {
    const { session, mailbox } = await this.#find(namespaceId, request.sessionId);
    session.received(mailbox.takenFrame);
    session.beat(request.beats);
    const acks = await Promise.all(
      request.reports.map((entry) => this.#sessions.commitReport(session, entry)),
    );
    return { acks, cancels: mailbox.takeCancels() };
  }

  async #open(namespaceId: number, request: PollRequest): Promise<{ session: Session; mailbox: Mailbox }> {
    const { workerName, sdkName, sdkVersion, handlers, queues, sessionTimeoutMs } = request;
    const hello = {
      workerName,
      sdkName,
      sdkVersion,
      buildId: "",
      handlers,
      queues,
      labels: {},
      slots: 0,
      pollTimeoutMs: sessionTimeoutMs ?? this.#context.settings.pollSessionMs,
    };
    const row = sessionRow(this.#context, namespaceId, uuidv7(this.#context.clock.nowMs()), hello);
    await this.#context.store.openSession(row);
    return this.#begin(row);
  }

  /** The session, which follows its worker to whichever replica the call reached. */
  async #find(namespaceId: number, sessionId: string): Promise<{ session: Session; mailbox: Mailbox }> {
    const { store, replicaId, clock } = this.#context;
    const letGo = await this.#sessions.keepOpen(sessionId);
    try {
      const row = await store.adoptSession(namespaceId, sessionId, replicaId);
      if (row === undefined) throw sessionNotFound(sessionId);
      const tasks = row.moved || !this.#serves(sessionId) ? await store.readHeldTasks([sessionId]) : [];
      const known = this.#sessions.get(sessionId);
      const mailbox = known === undefined ? undefined : this.#mailboxes.get(known);
      if (!row.moved && known?.connected === true && mailbox !== undefined)
        return { session: known, mailbox };
      const begun = this.#begin(row, mailbox);
      for (const task of tasks) begun.session.hold(adoptAttempt(task, known, clock.nowMs()));
      return begun;
    } finally {
      letGo();
    }
  }

  #serves(sessionId: string): boolean {
    return this.#sessions.get(sessionId)?.connected === true;
  }

  /** A session that comes back still has what waited here for its next call. */
  #begin(row: SessionRow, mailbox = new Mailbox()): { session: Session; mailbox: Mailbox } {
    const session = new Session(factsOf(this.#context, row), mailbox, this.#sessions);
    this.#mailboxes.set(session, mailbox);
    mailbox.onAssigned = (frame) => this.#watch(session, mailbox, frame);
    this.#sessions.add(session, []);
    return { session, mailbox };
  }

  /**
   * What no call takes away goes to others after the time that a stream has to acknowledge a delivery,
   * at no cost of a try. The next call may reach another replica, which takes everything that the
   * session was handed as received when the call does not say what its worker holds: only this
   * replica knows what never left its mailbox.
   */
  #watch(session: Session, mailbox: Mailbox, frame: number): void {
    const takeBack = (): void => {
      const left = mailbox.withhold(frame).flatMap((ref) => heldBy(session, ref));
      const unlost = left.filter(({ losing }) => !losing);
      if (unlost.length === 0) return mailbox.drop(frame);
      for (const attempt of unlost) this.#sessions.lose(attempt, "UNDELIVERED", false);
      // Looks again, because taking it back fails while the database is away.
      this.#watch(session, mailbox, frame);
    };
    setTimeout(takeBack, this.#context.settings.deliveryTimeoutMs).unref();
  }
}

function heldBy(session: Session, ref: AttemptRef): HeldAttempt[] {
  const attempt = session.held.get(heldKey(ref));
  return attempt?.ref.lease === ref.lease ? [attempt] : [];
}

function sessionNotFound(sessionId: string): HeadraceError {
  return new HeadraceError("SESSION_NOT_FOUND", `There is no open polling session ${sessionId}.`, {
    field: "session_id",
    actual: sessionId,
  });
}
