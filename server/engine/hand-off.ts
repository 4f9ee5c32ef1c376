import type { Assignment } from "./api.js";
import type { HeldAttempt } from "./held-attempt.js";

/** The named line a task waits in. */
export interface Route {
  readonly namespaceId: number;
  readonly queue: string;
  readonly handler: string;
}

/** One unit of a session's credit, set aside for a task that is about to be committed. */
export interface Reservation {
  readonly sessionId: string;
  /** Gives the credit back, because the commit failed. */
  release(): void;
  /** Hands the task over, after the commit. */
  deliver(attempt: HeldAttempt, assignment: Assignment): void;
}

/** What a commit may ask of the dispatcher. */
export interface HandOff {
  /**
   * A local session that takes one more task of the route now; undefined when there is none, or when
   * older work of the route waits, which new work must not overtake.
   */
  reserve(route: Route, inputBytes: number): Reservation | undefined;
  /** READY tasks of the route were committed. */
  raise(route: Route, suspect: boolean): void;
}
