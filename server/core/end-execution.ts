import type { Draft } from "./draft.js";
import type { Failure } from "./failure.js";
import { InputError, resolveOutput } from "./resolve-input.js";
import type { ExecutionStatus } from "./status.js";

/**
 * Ends an execution whose tasks have all ended. It failed when a task did; it was cancelled when a
 * cancellation left something undone, so one that came after the last task had run changes nothing.
 */
export function endExecution(draft: Draft, nowMs: number): void {
  const { state } = draft;
  const failed = state.tasks.findIndex((task) => task?.status === "FAILED" || task?.status === "TIMED_OUT");
  if (state.cancelRequestedAtMs !== undefined && hasUndone(draft)) {
    return finish(draft, "CANCELLED", cancelledFailure(state.cancelReason), nowMs);
  }
  if (failed >= 0) return finish(draft, "FAILED", taskFailure(draft, failed), nowMs);
  try {
    state.output = resolveOutput(state.facts.plan, draft.source);
    draft.limits.budget.spendBytes(state.output.data.length);
    finish(draft, "COMPLETED", undefined, nowMs);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    finish(
      draft,
      "FAILED",
      { reason: error.reason, message: `The workflow output: ${error.message}` },
      nowMs,
    );
  }
}

/** Ends an execution with what it has; nothing of it can change any more. */
export function finish(
  draft: Draft,
  status: ExecutionStatus,
  failure: Failure | undefined,
  nowMs: number,
): void {
  const { state } = draft;
  state.status = status;
  state.failure = failure;
  state.finishedAtMs = nowMs;
  state.openCount = 0;
  state.opensLater = false;
  state.cancelDueAtMs = undefined;
  draft.executionTouched = true;
}

/** The failure of an execution that was cancelled. */
export function cancelledFailure(reason: string | undefined): Failure {
  return {
    reason: "EXECUTION_CANCELLED",
    message: reason === undefined || reason === "" ? "It was cancelled." : reason,
  };
}

function hasUndone(draft: Draft): boolean {
  const { plan } = draft.state.facts;
  return plan.tasks.some(({ index }) => {
    const status = draft.state.tasks[index]?.status;
    return status === undefined || status === "CANCELLED";
  });
}

function taskFailure(draft: Draft, index: number): Failure {
  const id = draft.state.facts.plan.tasks[index]?.id ?? String(index);
  const cause = draft.state.tasks[index]?.failure;
  const failure: Failure = {
    reason: "TASK_FAILED",
    message: `Task "${id}" failed: ${cause?.message ?? "no reason"}`,
    taskId: id,
  };
  return cause === undefined ? failure : { ...failure, cause };
}
