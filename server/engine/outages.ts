/** An answer that took longer counts as an outage until it came. */
const LATE_MS = 1_000;

/**
 * Remembers when the database last failed to answer in time, by the monotonic clock. Without it no
 * worker can resume its session, so that time is no grace.
 */
export class Outages {
  #lastMs = -Infinity;

  get lastMs(): number {
    return this.#lastMs;
  }

  /** Passes on what became of a question to the database. */
  async watch<T>(answer: Promise<T>): Promise<T> {
    const askedAtMs = performance.now();
    let answered = false;
    try {
      const result = await answer;
      answered = performance.now() - askedAtMs < LATE_MS;
      return result;
    } finally {
      if (!answered) this.#lastMs = performance.now();
    }
  }
}
