import { createTask, touch, type Draft } from "./draft.js";
import { endExecution } from "./end-execution.js";
import { keepOutput, markRead, planTask, tasksToOpen, type TaskState } from "./execution-state.js";
import type { Failure } from "./failure.js";
import { SHARED_INPUT_BYTES } from "./opening-budget.js";
import type { Payload } from "./payload.js";
import { InputError, resolveInput } from "./resolve-input.js";
import type { TaskStatus } from "./status.js";

/** How a task ends. */
export interface TaskEnd {
  readonly status: Extract<TaskStatus, "COMPLETED" | "FAILED" | "SKIPPED" | "CANCELLED" | "TIMED_OUT">;
  readonly output?: Payload | undefined;
  readonly failure?: Failure | undefined;
}

/** Ends a task that has a row, and all that follows from it. */
export function endTask(draft: Draft, index: number, end: TaskEnd, nowMs: number): void {
  const task = draft.state.tasks[index];
  if (task === undefined) return;
  const touched = touch(draft, index);
  task.status = end.status;
  task.failure = end.failure;
  task.dueAtMs = undefined;
  touched.output = end.output;
  touched.finishedAtMs = nowMs;
  keepOutput(draft.state, index, end.output);
  settle(draft, [index], nowMs);
}

/** Makes everything ready that waits for nothing: the roots, and later what found the budget spent. */
export function openTasks(draft: Draft, nowMs: number): void {
  const ended: number[] = [];
  draft.state.opensLater = false;
  for (const index of tasksToOpen(draft.state)) decide(draft, index, nowMs, ended);
  settle(draft, ended, nowMs);
}

/**
 * Tells successors that tasks have ended. A successor may end at once (skipped, or its input cannot
 * be made), so the list grows while it is worked off; it is a list and not a recursion because a
 * chain may be as long as the plan.
 */
function settle(draft: Draft, ended: number[], nowMs: number): void {
  const { state } = draft;
  for (let next = ended.pop(); next !== undefined; next = ended.pop()) {
    state.openCount--;
    for (const successor of planTask(state, next).successors) {
      const left = (state.unresolved[successor] ?? 0) - 1;
      state.unresolved[successor] = left;
      if (left === 0 && state.cancelRequestedAtMs === undefined) decide(draft, successor, nowMs, ended);
    }
  }
  if (state.openCount === 0) endExecution(draft, nowMs);
}

/** ALL_SUCCESS: a task runs when all its dependencies completed, otherwise it is skipped. */
function decide(draft: Draft, index: number, nowMs: number, ended: number[]): void {
  const { dependsOn } = planTask(draft.state, index);
  const allCompleted = dependsOn.every((dependency) => draft.state.tasks[dependency]?.status === "COMPLETED");
  if (allCompleted) {
    if (!draft.limits.budget.isSpent) return openTask(draft, index, nowMs, ended);
    draft.state.opensLater = true;
    draft.executionTouched = true;
    return;
  }
  const touched = createTask(draft, index, blankTask("SKIPPED"));
  touched.finishedAtMs = nowMs;
  markRead(draft.state, index);
  ended.push(index);
}

/** A task becomes ready for the first time; or it fails, when its input cannot be made. */
function openTask(draft: Draft, index: number, nowMs: number, ended: number[]): void {
  const plan = planTask(draft.state, index);
  const task = blankTask("READY");
  task.attempt = 1;
  task.firstReadyAtMs = nowMs;
  task.readyAtMs = nowMs;
  const { queueMs, totalMs } = plan.timeouts;
  const waitMs = Math.min(queueMs ?? Infinity, totalMs ?? Infinity);
  if (waitMs < Infinity) task.dueAtMs = nowMs + waitMs;
  const touched = createTask(draft, index, task);
  try {
    touched.input = resolveInput(plan, draft.source);
    payFor(draft, touched.input);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    task.status = "FAILED";
    task.failure = { reason: error.reason, message: error.message };
    task.dueAtMs = undefined;
    touched.finishedAtMs = nowMs;
    ended.push(index);
  }
  markRead(draft.state, index);
}

/** An input that tasks share is written once for the execution. */
function payFor(draft: Draft, input: Payload): void {
  const bytes = input.data.length;
  if (bytes >= SHARED_INPUT_BYTES) {
    draft.largeInputs ??= new Set();
    if (draft.largeInputs.has(input)) return;
    draft.largeInputs.add(input);
  }
  draft.limits.budget.spendBytes(bytes);
}

function blankTask(status: TaskStatus): TaskState {
  return {
    status,
    attempt: 0,
    crashes: 0,
    firstReadyAtMs: undefined,
    readyAtMs: undefined,
    dueAtMs: undefined,
    output: undefined,
    failure: undefined,
  };
}
