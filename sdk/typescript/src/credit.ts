import type { AttemptRunner } from "./attempt-runner.js";
import type { HeldAttempts } from "./held-attempts.js";

/** With so much unacknowledged, no further work is asked for. */
const UNACKNOWLEDGED_LIMIT = 10_000;
const UNACKNOWLEDGED_BYTES_LIMIT = 64 * 1024 * 1024;

/** How many more assignments the server may send: never more than there is place for. */
export class Credit {
  /** Most that the server takes at a time. */
  limit = 10_000;
  readonly #runner: AttemptRunner;
  readonly #held: HeldAttempts;
  /** Granted on this stream and not used. */
  #outstanding = 0;
  #isStopped = false;

  constructor(runner: AttemptRunner, held: HeldAttempts) {
    this.#runner = runner;
    this.#held = held;
  }

  /** A stream begins: what was granted on the one before is void. Answers the first grant. */
  begin(): number {
    this.#outstanding = 0;
    return this.take();
  }

  /** Grants what room there is that the server does not know of yet. */
  take(): number {
    if (this.#isStopped) return 0;
    const add = Math.max(0, this.#room() - this.#outstanding);
    this.#outstanding += add;
    return add;
  }

  /** So many assignments came. */
  use(count: number): void {
    this.#outstanding -= count;
  }

  /** Nothing is granted any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #room(): number {
    if (this.#held.unacknowledgedBytes > UNACKNOWLEDGED_BYTES_LIMIT) return 0;
    const finished = this.#held.size - (this.#runner.capacity - this.#runner.free);
    return Math.min(this.#runner.free, UNACKNOWLEDGED_LIMIT - finished, this.limit);
  }
}
