import type { Command, LoseCommand } from "./command.js";
import { cancel, executionDue } from "./cancel.js";
import { touch, type Draft, type TouchedTask } from "./draft.js";
import { endTask, openTasks } from "./end-task.js";
import { isUnread, planTask, type TaskState } from "./execution-state.js";
import type { Failure } from "./failure.js";
import type { Payload } from "./payload.js";
import type { PlanTask } from "./plan.js";
import { isTerminal } from "./status.js";
import { isRetryable, retryDelayMs } from "./retry.js";

/**
 * The state machine: applies one command to the draft's state at a time. Commands that no longer
 * apply (a timer that was overtaken, a cancel of what has ended) change nothing.
 */
export function advance(draft: Draft, command: Command, nowMs: number): void {
  if (isTerminal(draft.state.status)) return;
  switch (command.kind) {
    case "report":
      return report(draft, command, nowMs);
    case "lose":
      return lose(draft, command, nowMs);
    case "taskDue":
      return taskDue(draft, command.index, nowMs);
    case "executionDue":
      return executionDue(draft, command.running, nowMs);
    case "cancel":
      return cancel(draft, command, nowMs);
  }
}

/** Starts an execution: its first tasks become ready. */
export function begin(draft: Draft, nowMs: number): void {
  draft.executionTouched = true;
  openTasks(draft, nowMs);
}

function report(draft: Draft, command: Extract<Command, { kind: "report" }>, nowMs: number): void {
  const { index, outcome } = command;
  const task = outTask(draft, index);
  if (task === undefined) return;
  switch (outcome.kind) {
    case "success":
      return succeed(draft, index, outcome.output, nowMs);
    case "failure":
      return failAttempt(draft, index, outcome.failure, command.random, nowMs);
    case "cancelled":
      return failAttempt(draft, index, cancelledFailure(outcome.message), command.random, nowMs);
    case "givenBack":
      return handOutAgain(draft, index, nowMs);
  }
}

function succeed(draft: Draft, index: number, output: Payload | undefined, nowMs: number): void {
  const failure = tooMuchToKeep(draft, index, output);
  if (failure === undefined) return endTask(draft, index, { status: "COMPLETED", output }, nowMs);
  endTask(draft, index, { status: endStatus(draft, failure), failure }, nowMs);
}

/**
 * What tasks have yet to read is in the memory of the server, and is read again as a whole after a
 * restart, so its sum is bounded as each of them is.
 */
function tooMuchToKeep(draft: Draft, index: number, output: Payload | undefined): Failure | undefined {
  const { state, limits } = draft;
  if (output === undefined || !isUnread(state, index)) return undefined;
  const bytes = state.keptBytes + output.data.length;
  if (bytes <= limits.keptOutputBytesMax) return undefined;
  return {
    reason: "PAYLOAD_TOO_LARGE",
    message:
      `The outputs that tasks of this execution, or its own output, have yet to read would have ${bytes} bytes ` +
      `together; the limit is ${limits.keptOutputBytesMax}. Return references to data that is stored elsewhere.`,
  };
}

/** Without a request to cancel, a handler that cancels itself has failed like any other. */
function cancelledFailure(message: string): Failure {
  return { reason: "HANDLER_CANCELLED", message: message === "" ? "The handler cancelled itself." : message };
}

const LOSS_MESSAGES: Record<LoseCommand["reason"], string> = {
  UNDELIVERED: "The delivery was not acknowledged.",
  WORKER_LOST: "The worker vanished while it held the task.",
  ATTEMPT_TIMEOUT: "The attempt took longer than its timeout.",
  HEARTBEAT_TIMEOUT: "The attempt did not beat within its heartbeat timeout.",
  TOTAL_TIMEOUT: "The task took longer than its total timeout.",
};

function lose(draft: Draft, command: LoseCommand, nowMs: number): void {
  const { index, reason } = command;
  const task = outTask(draft, index);
  if (task === undefined) return;
  touch(draft, index).revoked = true;
  const failure: Failure = { reason, message: LOSS_MESSAGES[reason] };
  switch (reason) {
    case "UNDELIVERED":
      return handOutAgain(draft, index, nowMs);
    case "WORKER_LOST":
      return loseWorker(draft, command, failure, nowMs);
    case "ATTEMPT_TIMEOUT":
    case "HEARTBEAT_TIMEOUT":
      stop(draft, index, reason);
      return failAttempt(draft, index, failure, command.random, nowMs);
    case "TOTAL_TIMEOUT":
      stop(draft, index, reason);
      return endTask(draft, index, { status: endStatus(draft, failure), failure }, nowMs);
  }
}

function loseWorker(draft: Draft, command: LoseCommand, failure: Failure, nowMs: number): void {
  const task = outTask(draft, command.index);
  if (task === undefined) return;
  if (command.counted) task.crashes++;
  const limit = planTask(draft.state, command.index).retry.maxCrashes;
  if (task.crashes >= limit) {
    const quarantined = {
      ...failure,
      message: `${failure.message} It happened ${task.crashes} times, the limit.`,
    };
    return endTask(
      draft,
      command.index,
      { status: endStatus(draft, quarantined), failure: quarantined },
      nowMs,
    );
  }
  if (!isCancelling(draft)) draft.superseded.push({ index: command.index, failure, retryDelayMs: undefined });
  handOutAgain(draft, command.index, nowMs);
}

/** A try has failed: the next one is scheduled, or the task ends. */
function failAttempt(draft: Draft, index: number, failure: Failure, random: number, nowMs: number): void {
  const task = outTask(draft, index);
  if (task === undefined) return;
  const plan = planTask(draft.state, index);
  const last = task.attempt >= plan.retry.maxAttempts || !isRetryable(plan.retry, failure);
  if (last || isCancelling(draft)) {
    return endTask(draft, index, { status: endStatus(draft, failure), failure }, nowMs);
  }
  const delayMs = retryDelayMs(plan.retry, task.attempt, random, failure.retryAfterMs);
  const totalDueAtMs = totalDueAt(plan, task);
  if (totalDueAtMs !== undefined && nowMs + delayMs >= totalDueAtMs) {
    return endTask(draft, index, { status: "TIMED_OUT", failure: tooLate(failure) }, nowMs);
  }
  draft.superseded.push({ index, failure, retryDelayMs: delayMs });
  task.status = "SCHEDULED";
  task.attempt++;
  task.failure = failure;
  task.dueAtMs = nowMs + delayMs;
  touch(draft, index);
}

function tooLate(cause: Failure): Failure {
  return { reason: "TOTAL_TIMEOUT", message: "The next attempt would begin after the total timeout.", cause };
}

/** The same attempt goes to a worker once more. */
function handOutAgain(draft: Draft, index: number, nowMs: number): void {
  const task = draft.state.tasks[index];
  if (task === undefined) return;
  if (isCancelling(draft)) {
    return endTask(draft, index, { status: "CANCELLED", failure: undefined }, nowMs);
  }
  makeReady(draft, index, task, touch(draft, index), nowMs);
}

function makeReady(draft: Draft, index: number, task: TaskState, touched: TouchedTask, nowMs: number): void {
  const plan = planTask(draft.state, index);
  task.status = "READY";
  task.readyAtMs = nowMs;
  task.dueAtMs = earliest(addMs(nowMs, plan.timeouts.queueMs), totalDueAt(plan, task));
  touched.readyAgain = true;
}

/** A retry is due, or a task has waited too long for a worker. */
function taskDue(draft: Draft, index: number, nowMs: number): void {
  const task = draft.state.tasks[index];
  if (task?.dueAtMs === undefined || task.dueAtMs > nowMs) return;
  if (task.status === "SCHEDULED") return makeReady(draft, index, task, touch(draft, index), nowMs);
  if (task.status !== "READY") return;
  const total = totalDueAt(planTask(draft.state, index), task);
  const failure: Failure =
    total !== undefined && total <= nowMs
      ? { reason: "TOTAL_TIMEOUT", message: LOSS_MESSAGES.TOTAL_TIMEOUT }
      : { reason: "QUEUE_TIMEOUT", message: "No worker took the task within its queue timeout." };
  touch(draft, index).revoked = true;
  endTask(draft, index, { status: "TIMED_OUT", failure }, nowMs);
}

/** A task that is out, or undefined when the command comes too late. */
function outTask(draft: Draft, index: number): TaskState | undefined {
  const task = draft.state.tasks[index];
  return task?.status === "READY" ? task : undefined;
}

function stop(draft: Draft, index: number, reason: string): void {
  draft.stops.push({ index, reason, outcomeWanted: false, deadlineAtMs: undefined });
}

function isCancelling(draft: Draft): boolean {
  return draft.state.cancelRequestedAtMs !== undefined;
}

/** How a task ends that has failed for good. */
function endStatus(draft: Draft, failure: Failure): "CANCELLED" | "FAILED" | "TIMED_OUT" {
  if (isCancelling(draft)) return "CANCELLED";
  return failure.reason.endsWith("_TIMEOUT") ? "TIMED_OUT" : "FAILED";
}

function totalDueAt(plan: PlanTask, task: TaskState): number | undefined {
  return task.firstReadyAtMs === undefined ? undefined : addMs(task.firstReadyAtMs, plan.timeouts.totalMs);
}

function addMs(atMs: number, ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : atMs + ms;
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
