import type { TaskStatus } from "./status.js";

/** The hand-out that the database knows of a task. */
export interface HandOut {
  readonly status: TaskStatus;
  readonly attempt: number;
  readonly lease: number;
  readonly sessionId: string | undefined;
}

/** The hand-out that somebody claims to speak for. `sessionId` undefined: the server itself. */
export interface Claimed {
  readonly attempt: number;
  readonly lease: number;
  readonly sessionId: string | undefined;
}

export type FenceVerdict =
  | { readonly kind: "current" }
  /** This very hand-out was settled by a report before. */
  | { readonly kind: "duplicate" }
  | { readonly kind: "stale"; readonly reason: StaleReason; readonly message: string };

export type StaleReason = "UNKNOWN_TASK" | "FOREIGN_SESSION" | "SUPERSEDED" | "NOT_HANDED_OUT";

/**
 * Whether a hand-out is still current. Each hand-out has a higher lease number than the one before,
 * and whoever ends one without its own report raises the number once more; so an equal number on a
 * task that does not run means that its own report ended it.
 */
export function checkFence(held: HandOut | undefined, claimed: Claimed): FenceVerdict {
  if (held === undefined) return stale("UNKNOWN_TASK", "This execution has handed out no such task.");
  if (claimed.lease > held.lease || claimed.attempt > held.attempt) {
    return stale(
      "NOT_HANDED_OUT",
      `Lease ${claimed.lease} of attempt ${claimed.attempt} was never handed out.`,
    );
  }
  if (
    claimed.sessionId !== undefined &&
    claimed.lease === held.lease &&
    claimed.sessionId !== held.sessionId
  ) {
    return stale("FOREIGN_SESSION", "The task is with another session.");
  }
  if (claimed.lease < held.lease) {
    return stale("SUPERSEDED", `Lease ${claimed.lease} was taken back; the current one is ${held.lease}.`);
  }
  return held.status === "RUNNING" ? { kind: "current" } : { kind: "duplicate" };
}

function stale(reason: StaleReason, message: string): FenceVerdict {
  return { kind: "stale", reason, message };
}
