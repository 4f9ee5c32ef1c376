import { UNSENT_FRAME, type HeldAttempt } from "./held-attempt.js";
import type { Session } from "./session.js";

/** Sent hand-outs that may vanish with their workers, unacknowledged, before the task counts as their cause. */
const UNACKNOWLEDGED_LOSSES = 3;

/**
 * Whether the worker of a session that is given up had the task. A task that ends its worker at once
 * leaves no time to acknowledge it, so one whose workers keep vanishing is taken as received.
 */
export function wasReceived(session: Session, attempt: HeldAttempt): boolean {
  if (session.isDelivered(attempt)) return true;
  if (!session.vanished || attempt.frame === UNSENT_FRAME) return false;
  // A hand-out raises the lease, and so does its loss; tries and crashes account for theirs.
  const { attempt: tries, lease } = attempt.ref;
  return lease - 2 * (tries + attempt.crashes) >= 2 * UNACKNOWLEDGED_LOSSES - 1;
}

/**
 * Which of the tasks that a vanished worker held are counted as crashed. A suspect among them, one
 * whose worker vanished before, is blamed alone: of suspects a session holds one at a time, so the
 * tasks beside a poison one do not pay for it again.
 */
export function blame(held: readonly HeldAttempt[]): ReadonlySet<HeldAttempt> {
  const suspects = held.filter((attempt) => attempt.crashes > 0);
  return new Set(suspects.length > 0 ? suspects : held);
}
