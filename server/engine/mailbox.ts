import type { Assignment, AttemptRef, CancelNotice, SessionSink } from "./api.js";
import { handOutKey } from "./held-attempt.js";
import { Signal } from "./signal.js";

interface Waiting {
  readonly frame: number;
  readonly assignment: Assignment;
  /** Being taken back, so no call gets it any more. */
  withheld: boolean;
}

/**
 * Where the assignments and cancellations of a polling session wait for its next call. What one call
 * carries counts as received with the next.
 */
export class Mailbox implements SessionSink {
  /** Hears of each frame with assignments. */
  onAssigned: (frame: number) => void = () => undefined;
  #frame = 0;
  #assignments: Waiting[] = [];
  #cancels: CancelNotice[] = [];
  readonly #arrived = new Signal();

  /** The last frame of which everything was taken. */
  get takenFrame(): number {
    const next = this.#assignments[0];
    return next === undefined ? this.#frame : next.frame - 1;
  }

  assign(assignments: readonly Assignment[]): number {
    const frame = ++this.#frame;
    for (const assignment of assignments) this.#assignments.push({ frame, assignment, withheld: false });
    this.#arrived.raise();
    this.onAssigned(frame);
    return frame;
  }

  cancel(cancels: readonly CancelNotice[]): void {
    this.#cancels.push(...cancels);
  }

  drain(): void {
    this.#arrived.raise();
  }

  close(): void {
    this.#arrived.raise();
  }

  ack(): void {
    // Reports of polling workers are answered by the call that brings them.
  }

  ping(): void {
    // A polling worker answers with its next call.
  }

  /** How many assignments wait for the next call. */
  get waiting(): number {
    return this.#ready.length;
  }

  /** Whether this hand-out waits for the next call. */
  has(ref: AttemptRef): boolean {
    const key = handOutKey(ref);
    return this.#assignments.some(({ assignment }) => handOutKey(assignment.attempt) === key);
  }

  takeAssignments(max: number): Assignment[] {
    const taken = new Set(this.#ready.slice(0, max));
    this.#assignments = this.#assignments.filter((each) => !taken.has(each));
    return [...taken].map(({ assignment }) => assignment);
  }

  /** Keeps what waits of this frame from calls, and names it. */
  withhold(frame: number): AttemptRef[] {
    const waiting = this.#assignments.filter((each) => each.frame === frame);
    for (const each of waiting) each.withheld = true;
    return waiting.map(({ assignment }) => assignment.attempt);
  }

  /** Forgets what was withheld of this frame. */
  drop(frame: number): void {
    this.#assignments = this.#assignments.filter((each) => each.frame !== frame || !each.withheld);
  }

  get #ready(): Waiting[] {
    return this.#assignments.filter(({ withheld }) => !withheld);
  }

  takeCancels(): CancelNotice[] {
    return this.#cancels.splice(0);
  }

  /** Resolves with the first assignment, or when the time is over or the caller is gone. */
  async waitForAssignments(waitMs: number, signal: AbortSignal): Promise<void> {
    this.#arrived.take();
    if (this.#ready.length === 0 && waitMs > 0) await this.#arrived.wait(waitMs, signal);
  }
}
