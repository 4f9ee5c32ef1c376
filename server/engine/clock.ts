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
   * at `answeredAtMs`, both by `performance.now()`. It read its clock at some moment in between, so a
   * slow answer does not move an estimate that it agrees with.
   */
  observe(databaseMs: number, askedAtMs: number, answeredAtMs: number): void {
    const lowest = databaseMs - answeredAtMs;
    const highest = databaseMs - askedAtMs;
    this.#offsetMs = Math.min(Math.max(this.#offsetMs, lowest), highest);
  }
}
