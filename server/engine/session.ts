import { HeadraceError } from "../core/errors.js";
import type {
  Assignment,
  BeatEntry,
  CancelNotice,
  ReportAck,
  ReportEntry,
  SessionSink,
  WorkerSession,
} from "./api.js";
import type { ExecutionKey } from "./commit-store.js";
import { heldKey, UNSENT_FRAME, type HeldAttempt } from "./held-attempt.js";

/** What a session asks of the registry that owns it. */
export interface SessionOwner {
  granted(session: Session): void;
  report(session: Session, entry: ReportEntry): void;
  disconnected(session: Session): void;
  drained(session: Session): void;
  /** Watchers of this execution have something new to see: a hand-out, or progress. */
  stirred(key: ExecutionKey): void;
  /** Time by the monotonic clock of this process, as all times of a session are. */
  nowMs(): number;
}

/** What is known of a worker. */
export interface SessionFacts {
  readonly sessionId: string;
  readonly namespaceId: number;
  readonly workerName: string;
  readonly handlers: readonly string[];
  readonly queues: readonly string[];
  readonly slots: number;
  readonly polls: boolean;
  /** How long it may be silent. */
  readonly silenceMs: number;
  readonly creditMax: number;
}

/** So many bytes of inputs may be on their way to a worker, and one more claim or input. */
const OPEN_BYTES = 16 * 1024 * 1024;

/** A worker session on this replica: its credit, what it holds, and how far it has acknowledged. */
export class Session implements WorkerSession {
  readonly sessionId: string;
  readonly facts: SessionFacts;
  readonly held = new Map<string, HeldAttempt>();
  readonly #owner: SessionOwner;
  #sink: SessionSink | undefined;
  /** How many tasks the worker takes, with those that are set aside. */
  #wanted = 0;
  /** Of these, the tasks that are being handed out. Those of an earlier poll count against the next. */
  #setAside = 0;
  #receivedFrame = 0;
  /** Frames with assignments that are not acknowledged, oldest first. */
  #unacknowledged: Array<{ frame: number; sentAtMs: number; bytes: number }> = [];
  /** Of the inputs that are set aside, on their way, or not acknowledged. */
  #openBytes = 0;
  lastMessageMs: number;
  /** A polling worker waits for its answer until then and cannot say anything; 0 when it does not. */
  awaitsUntilMs = 0;
  draining = false;
  /** Set while the stream is gone: when the session is given up. */
  graceDueMs: number | undefined;
  /** Whether the socket closed by itself, as it does when the worker's process ends. */
  vanished = false;
  /** Tasks among the held whose worker vanished before. */
  suspects = 0;

  constructor(facts: SessionFacts, sink: SessionSink, owner: SessionOwner) {
    this.sessionId = facts.sessionId;
    this.facts = facts;
    this.#sink = sink;
    this.#owner = owner;
    this.lastMessageMs = owner.nowMs();
  }

  /** How many more tasks may be handed out now. None while too many bytes have not arrived. */
  get credit(): number {
    if (this.#sink === undefined || this.draining || this.#openBytes >= OPEN_BYTES) return 0;
    return Math.max(0, this.#wanted - this.#setAside);
  }

  get connected(): boolean {
    return this.#sink !== undefined;
  }

  grant(credit: number): void {
    if (credit <= 0) return;
    const next = this.#wanted - this.#setAside + credit;
    if (next > this.facts.creditMax) {
      const limit = this.facts.creditMax;
      this.close(
        new HeadraceError("INVALID_FIELD", `The credit would be ${next}.`, {
          field: "credit",
          limit,
          actual: next,
        }),
      );
      return;
    }
    this.#wanted += credit;
    this.#owner.granted(this);
  }

  /** Sets the credit of a poll, which asks anew each time. */
  setCredit(credit: number): void {
    this.#wanted = Math.max(0, credit);
    if (this.credit > 0) this.#owner.granted(this);
  }

  /** Sets credit aside for tasks that are being handed out, with the bytes of their inputs where known. */
  take(count: number, bytes = 0): void {
    this.#setAside += count;
    this.#openBytes += bytes;
  }

  /** Gives credit back that was set aside and not used. */
  giveBack(count: number, bytes = 0): void {
    const before = this.credit;
    this.#setAside -= count;
    this.#openBytes -= bytes;
    if (before === 0 && this.credit > 0) this.#owner.granted(this);
  }

  /**
   * Holds the attempts and sends them, if the stream is there; otherwise they stay undelivered.
   * All were set aside by `take`, which was told of so many bytes.
   */
  deliver(attempts: readonly HeldAttempt[], assignments: readonly Assignment[], bytesSetAside = 0): void {
    for (const attempt of attempts) this.hold(attempt);
    this.#setAside -= attempts.length;
    this.#wanted = Math.max(0, this.#wanted - attempts.length);
    this.#openBytes -= bytesSetAside;
    if (this.#sink === undefined) return;
    const bytes = assignments.reduce((sum, { input }) => sum + input.data.length, 0);
    this.#openBytes += bytes;
    const frame = this.#sink.assign(assignments);
    for (const attempt of attempts) {
      attempt.frame = frame;
      this.#owner.stirred({ namespaceId: attempt.namespaceId, executionId: attempt.ref.executionId });
    }
    const last = this.#unacknowledged.at(-1);
    if (last?.frame === frame) last.bytes += bytes;
    else this.#unacknowledged.push({ frame, sentAtMs: this.#owner.nowMs(), bytes });
  }

  /** Holds an attempt from now on; its first beat is due one heartbeat timeout from now. */
  hold(attempt: HeldAttempt): void {
    attempt.lastBeatMs = this.#owner.nowMs();
    const key = heldKey(attempt.ref);
    // The task may come back before it is known here that its earlier hand-out is over.
    const earlier = this.held.get(key);
    if (earlier !== undefined) this.release(key, earlier.ref.lease);
    this.held.set(key, attempt);
    if (attempt.crashes > 0) this.suspects++;
  }

  /** Stops holding a hand-out; false when another one, or none, is held. */
  release(key: string, lease: number): boolean {
    const attempt = this.held.get(key);
    if (attempt === undefined || attempt.ref.lease !== lease) return false;
    this.held.delete(key);
    if (attempt.crashes > 0) this.suspects--;
    return true;
  }

  /** Whether the worker is known to have received the assignment. */
  isDelivered(attempt: HeldAttempt): boolean {
    return attempt.frame <= this.#receivedFrame && attempt.frame !== UNSENT_FRAME;
  }

  report(reports: readonly ReportEntry[]): void {
    for (const entry of reports) this.#owner.report(this, entry);
  }

  beat(beats: readonly BeatEntry[]): void {
    for (const { attempt, progress, details } of beats) {
      const held = this.held.get(heldKey(attempt));
      if (held?.ref.lease !== attempt.lease) continue;
      held.lastBeatMs = this.#owner.nowMs();
      if (details !== undefined) held.details = details;
      if (progress === undefined) continue;
      held.progress = progress;
      this.#owner.stirred({ namespaceId: held.namespaceId, executionId: attempt.executionId });
    }
  }

  received(frame: number): void {
    this.lastMessageMs = this.#owner.nowMs();
    if (frame <= this.#receivedFrame) return;
    this.#receivedFrame = frame;
    const before = this.credit;
    let acknowledged = 0;
    for (const sent of this.#unacknowledged) {
      if (sent.frame > frame) break;
      this.#openBytes -= sent.bytes;
      acknowledged++;
    }
    if (acknowledged > 0) this.#unacknowledged.splice(0, acknowledged);
    if (before === 0 && this.credit > 0) this.#owner.granted(this);
  }

  /** When the oldest delivery was sent that is not acknowledged. */
  get unacknowledgedSinceMs(): number | undefined {
    return this.#unacknowledged[0]?.sentAtMs;
  }

  ping(): void {
    this.#sink?.ping();
  }

  acknowledge(ack: ReportAck): void {
    this.#sink?.ack([ack]);
  }

  tellStop(notices: readonly CancelNotice[]): void {
    this.#sink?.cancel(notices);
  }

  tellDrain(reason: string): void {
    this.draining = true;
    this.#sink?.drain(reason);
  }

  drain(): void {
    this.draining = true;
    this.#owner.drained(this);
  }

  /** Gives the stream up; the session goes on and can be resumed. */
  close(error: Error): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#detach(this.#owner.nowMs() + this.facts.silenceMs);
    sink.close(error);
  }

  disconnected(how: "closed" | "silent"): void {
    if (this.#sink === undefined) return;
    this.vanished = how === "closed";
    this.#detach(how === "silent" ? this.lastMessageMs + this.facts.silenceMs : undefined);
  }

  #detach(graceDueMs: number | undefined): void {
    this.#sink = undefined;
    this.#wanted = 0;
    for (const { bytes } of this.#unacknowledged) this.#openBytes -= bytes;
    this.#unacknowledged = [];
    this.graceDueMs = graceDueMs;
    this.#owner.disconnected(this);
  }
}
