import type { Assignment, AttemptRef, CancelNotice, SessionSink } from "./api.js";
import { handOutKey } from "./held-attempt.js";
import { Signal } from "./signal.js";

/**
 * Where the assignments and cancellations of a polling session wait for its next call. What one call
 * carries counts as received with the next.
 */
export class Mailbox implements SessionSink {
  #frame = 0;
  #assignments: Array<{ readonly frame: number; readonly assignment: Assignment }> = [];
  #cancels: CancelNotice[] = [];
  readonly #arrived = new Signal();

  /** The last frame of which everything was taken. */
  get takenFrame(): number {
    const next = this.#assignments[0];
    return next === undefined ? this.#frame : next.frame - 1;
  }

  assign(assignments: readonly Assignment[]): number {
    const frame = ++this.#frame;
    for (const assignment of assignments) this.#assignments.push({ frame, assignment });
    this.#arrived.raise();
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
    return this.#assignments.length;
  }

  /** Whether this hand-out waits for the next call. */
  has(ref: AttemptRef): boolean {
    const key = handOutKey(ref);
    return this.#assignments.some(({ assignment }) => handOutKey(assignment.attempt) === key);
  }

  takeAssignments(max: number): Assignment[] {
    return this.#assignments.splice(0, max).map(({ assignment }) => assignment);
  }

  takeCancels(): CancelNotice[] {
    return this.#cancels.splice(0);
  }

  /** Resolves with the first assignment, or when the time is over or the caller is gone. */
  async waitForAssignments(waitMs: number, signal: AbortSignal): Promise<void> {
    this.#arrived.take();
    if (this.#assignments.length === 0 && waitMs > 0) await this.#arrived.wait(waitMs, signal);
  }
}
