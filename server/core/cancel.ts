import type { CancelCommand } from "./command.js";
import { touch, type Draft } from "./draft.js";
import { cancelledFailure, endExecution, finish } from "./end-execution.js";
import { openTasks } from "./end-task.js";
import type { Failure } from "./failure.js";
import { isTerminal } from "./status.js";

/**
 * Asks an execution to end: what waits is cancelled at once, what runs is told and gets the grace. A
 * second request can only shorten the grace.
 */
export function cancel(draft: Draft, command: CancelCommand, nowMs: number): void {
  const { state } = draft;
  const cancelDueAtMs = nowMs + command.graceMs;
  if (state.cancelRequestedAtMs !== undefined) {
    if (state.cancelDueAtMs !== undefined && cancelDueAtMs >= state.cancelDueAtMs) return;
    state.cancelDueAtMs = cancelDueAtMs;
    draft.executionTouched = true;
  } else {
    state.cancelRequestedAtMs = nowMs;
    state.cancelReason = command.reason;
    state.cancelDueAtMs = cancelDueAtMs;
    state.opensLater = false;
    draft.executionTouched = true;
    cancelWaiting(draft, command.running, nowMs);
  }
  if (state.openCount === 0) return endExecution(draft, nowMs);
  if (command.graceMs === 0)
    return force(draft, "CANCELLED", cancelledFailure(state.cancelReason), command.running, nowMs);
  for (const index of command.running) {
    draft.stops.push({
      index,
      reason: "EXECUTION_CANCELLED",
      outcomeWanted: true,
      deadlineAtMs: cancelDueAtMs,
    });
  }
}

/**
 * The deadline of the execution has come, the grace of its cancellation is over, or tasks wait for a
 * transaction with room for them.
 */
export function executionDue(draft: Draft, running: ReadonlySet<number>, nowMs: number): void {
  const { state } = draft;
  if (state.cancelDueAtMs !== undefined && state.cancelDueAtMs <= nowMs) {
    return force(draft, "CANCELLED", cancelledFailure(state.cancelReason), running, nowMs);
  }
  const { deadlineAtMs } = state.facts;
  if (deadlineAtMs !== undefined && deadlineAtMs <= nowMs) {
    return force(draft, "TIMED_OUT", TOO_LATE, running, nowMs);
  }
  if (!state.opensLater) return;
  draft.executionTouched = true;
  openTasks(draft, nowMs);
}

const TOO_LATE: Failure = {
  reason: "EXECUTION_TIMEOUT",
  message: "The execution took longer than its deadline.",
};

/** Only tasks with a row are written; a PENDING task of an ended execution counts as cancelled. */
function cancelWaiting(draft: Draft, running: ReadonlySet<number>, nowMs: number): void {
  draft.state.openCount = 0;
  draft.state.tasks.forEach((task, index) => {
    if (task === undefined || isTerminal(task.status)) return;
    if (running.has(index)) draft.state.openCount++;
    else cancelTask(draft, index, nowMs);
  });
}

function force(
  draft: Draft,
  status: "CANCELLED" | "TIMED_OUT",
  failure: Failure,
  running: ReadonlySet<number>,
  nowMs: number,
): void {
  const reason = failure.reason;
  draft.state.tasks.forEach((task, index) => {
    if (task === undefined || isTerminal(task.status)) return;
    if (running.has(index))
      draft.stops.push({ index, reason, outcomeWanted: false, deadlineAtMs: undefined });
    cancelTask(draft, index, nowMs);
  });
  finish(draft, status, failure, nowMs);
}

function cancelTask(draft: Draft, index: number, nowMs: number): void {
  const task = draft.state.tasks[index];
  if (task === undefined) return;
  task.status = "CANCELLED";
  task.dueAtMs = undefined;
  const touched = touch(draft, index);
  touched.revoked = true;
  touched.finishedAtMs = nowMs;
}
