import type { Attempt, Outcome } from "./attempt.js";
import { attemptKey } from "./attempt.js";
import type { AttemptRef, Report } from "./gen/headrace/v1/worker_service_pb.js";

/**
 * Every attempt that the server believes to be with this worker: waiting, running, or finished with
 * an outcome that was not acknowledged. They outlive the stream, and are what a resume lists.
 */
export class HeldAttempts {
  /** Roughly what the outcomes take that were not acknowledged. */
  unacknowledgedBytes = 0;
  readonly #byKey = new Map<string, Attempt>();
  /** Finished ones to report on the current stream; those that were removed meanwhile are skipped. */
  #outbox: Attempt[] = [];
  #emptyWaiters: Array<() => void> = [];

  get size(): number {
    return this.#byKey.size;
  }

  get hasReports(): boolean {
    return this.#outbox.length > 0;
  }

  all(): Attempt[] {
    return [...this.#byKey.values()];
  }

  get(ref: AttemptRef): Attempt | undefined {
    return this.#byKey.get(attemptKey(ref));
  }

  add(attempt: Attempt): void {
    this.#byKey.set(attempt.key, attempt);
  }

  /** Keeps the outcome of an attempt until it is acknowledged. Not of one that has an outcome or was dropped. */
  finish(attempt: Attempt, outcome: Outcome): void {
    if (attempt.dropped || attempt.state === "FINISHED") return;
    attempt.finish(outcome);
    this.unacknowledgedBytes += attempt.reportBytes;
    this.#outbox.push(attempt);
  }

  /** Reports something else instead of an outcome that the server cannot take. */
  replaceOutcome(attempt: Attempt, outcome: Outcome): void {
    this.unacknowledgedBytes -= attempt.reportBytes;
    attempt.finish(outcome);
    this.unacknowledgedBytes += attempt.reportBytes;
    this.#outbox.push(attempt);
  }

  /** Forgets an attempt: its outcome is committed, or no longer wanted. */
  remove(attempt: Attempt): void {
    if (!this.#byKey.delete(attempt.key)) return;
    if (attempt.state === "FINISHED") this.unacknowledgedBytes -= attempt.reportBytes;
    attempt.dropped = true;
    if (this.#byKey.size === 0) for (const resolve of this.#emptyWaiters.splice(0)) resolve();
  }

  /** A new stream begins: every outcome that was not acknowledged is to be reported on it. */
  reportAllAgain(): void {
    this.#outbox = this.all().filter((attempt) => attempt.state === "FINISHED");
  }

  /** Takes the next outcomes to report, within a count and, but for the first, within a size. */
  takeFinished(count: number, bytes: number): Attempt[] {
    const taken: Attempt[] = [];
    let size = 0;
    let at = 0;
    for (; at < this.#outbox.length && taken.length < count; at++) {
      const attempt = this.#outbox[at];
      if (attempt === undefined || attempt.dropped) continue;
      size += attempt.reportBytes;
      if (taken.length > 0 && size > bytes) break;
      taken.push(attempt);
    }
    this.#outbox = this.#outbox.slice(at);
    return taken;
  }

  /** Resolves when nothing is held. */
  async empty(): Promise<void> {
    if (this.#byKey.size === 0) return;
    await new Promise<void>((resolve) => this.#emptyWaiters.push(resolve));
  }
}

/** The report of a finished attempt. */
export function reportOf(attempt: Attempt): Report {
  if (attempt.report === undefined) throw new Error(`The attempt ${attempt.key} has no outcome`);
  return attempt.report;
}
