/** Times of the worker protocol, all in milliseconds. */
export interface WorkerSettings {
  /** How often a worker sends something. */
  readonly beatIntervalMs: number;
  /** A session that says nothing for so long is given up. */
  readonly beatTimeoutMs: number;
  /** A delivery that is not acknowledged for so long goes back. */
  readonly deliveryTimeoutMs: number;
  /** How long a session whose socket was closed may take to resume. */
  readonly closedGraceMs: number;
  /** Default and largest time that a polling session lasts without a call. */
  readonly pollSessionMs: number;
  readonly pollSessionMaxMs: number;
  readonly creditMax: number;
}

/** A worker whose process died is noticed in about a second, one that fell silent in 15. */
export const DEFAULT_WORKER_SETTINGS: WorkerSettings = {
  beatIntervalMs: 5_000,
  beatTimeoutMs: 15_000,
  deliveryTimeoutMs: 5_000,
  closedGraceMs: 1_000,
  pollSessionMs: 30_000,
  pollSessionMaxMs: 3_600_000,
  creditMax: 10_000,
};
