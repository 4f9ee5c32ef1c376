import type { Payload } from "../core/payload.js";
import type { AttemptRef, ProgressValue } from "./api.js";

/** A hand-out that a local session has. Its lease costs nothing in the database. */
export interface HeldAttempt {
  readonly namespaceId: number;
  readonly ref: AttemptRef;
  readonly sessionId: string;
  readonly crashes: number;
  /** When the server ends the attempt, by its attempt or total timeout; in the database's time. */
  readonly dueAtMs: number | undefined;
  readonly dueReason: "ATTEMPT_TIMEOUT" | "TOTAL_TIMEOUT";
  readonly heartbeatTimeoutMs: number | undefined;
  /** The frame that carried it; it counts as received once a frame as high is acknowledged. */
  frame: number;
  /** By the monotonic clock of this process, once a session holds the attempt. */
  lastBeatMs: number;
  details: Payload | undefined;
  progress: ProgressValue | undefined;
  /** Already told to stop. */
  stopping: boolean;
  /** The server is taking it back. */
  losing: boolean;
}

/** The frame of an assignment that was never sent. */
export const UNSENT_FRAME = Number.MAX_SAFE_INTEGER;

/** The facts that a hand-out starts with. */
export interface HandOutFacts {
  readonly namespaceId: number;
  readonly ref: AttemptRef;
  readonly sessionId: string;
  readonly crashes: number;
  readonly startedAtMs: number;
  readonly attemptTimeoutMs: number | undefined;
  readonly heartbeatTimeoutMs: number | undefined;
  readonly totalDueAtMs: number | undefined;
}

/** A hand-out to be held by a session, which counts its heartbeats from then on. */
export function holdAttempt(facts: HandOutFacts, frame: number, nowMs: number): HeldAttempt {
  const attemptDueAtMs = facts.startedAtMs + (facts.attemptTimeoutMs ?? Infinity);
  const totalDueAtMs = facts.totalDueAtMs ?? Infinity;
  const dueAtMs = Math.min(attemptDueAtMs, totalDueAtMs);
  return {
    namespaceId: facts.namespaceId,
    ref: facts.ref,
    sessionId: facts.sessionId,
    crashes: facts.crashes,
    dueAtMs: dueAtMs === Infinity ? undefined : dueAtMs,
    dueReason: totalDueAtMs < attemptDueAtMs ? "TOTAL_TIMEOUT" : "ATTEMPT_TIMEOUT",
    heartbeatTimeoutMs: facts.heartbeatTimeoutMs,
    frame,
    lastBeatMs: nowMs,
    details: undefined,
    progress: undefined,
    stopping: false,
    losing: false,
  };
}

/** What names the hand-out in a row that has more. */
export function refOf({ executionId, taskId, mapIndex, attempt, lease }: AttemptRef): AttemptRef {
  return { executionId, taskId, mapIndex, attempt, lease };
}

/** Names one hand-out of a task among all there were and will be. */
export function handOutKey(task: Pick<AttemptRef, "executionId" | "taskId" | "mapIndex" | "lease">): string {
  return `${heldKey(task)}#${task.lease}`;
}

/** Names a task instance among all that a replica holds; a task is held at most once. */
export function heldKey(task: { executionId: string; taskId: string; mapIndex: number }): string {
  return task.mapIndex < 0
    ? `${task.executionId}/${task.taskId}`
    : `${task.executionId}/${task.taskId}/${task.mapIndex}`;
}
