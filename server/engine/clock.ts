/** Time as PostgreSQL has it, in milliseconds since the epoch; all replicas agree on it. */
export interface Clock {
  nowMs(): number;
}

/**
 * Estimates database time from what the database said last. The machine's wall clock may jump, so
 * time goes on by the monotonic clock in between.
 */
export class DatabaseClock implements Clock {
  #offsetMs = Date.now() - performance.now();

  nowMs(): number {
    return performance.now() + this.#offsetMs;
  }

  /**
   * Takes in that the database answered `databaseMs` to a question asked at `askedAtMs` and answered
   * at `answeredAtMs`, both by `performance.now()`.
   */
  observe(databaseMs: number, askedAtMs: number, answeredAtMs: number): void {
    this.#offsetMs = databaseMs - (askedAtMs + answeredAtMs) / 2;
  }
}
