import type { ExecutionFacts, StoredTask } from "../core/execution-state.js";
import type { Plan } from "../core/plan.js";
import type { ExecutionKey, ExecutionRow, TaskRow } from "./commit-store.js";

/** The facts of a stored execution. */
export function restoreFacts(key: ExecutionKey, row: ExecutionRow, plan: Plan): ExecutionFacts {
  return {
    namespaceId: key.namespaceId,
    executionId: key.executionId,
    plan,
    input: row.input,
    createdAtMs: row.createdAtMs,
    priority: row.priority,
    traceId: row.traceId,
    traceFlags: row.traceFlags,
    deadlineAtMs: row.deadlineAtMs,
  };
}

/** Task rows by their plan index. A row whose task the plan lacks is a defect, and said so. */
export function storedTasks(plan: Plan, rows: readonly TaskRow[]): StoredTask[] {
  return rows.map((row) => {
    const index = plan.indexOf.get(row.taskId);
    if (index === undefined)
      throw new RangeError(`Version ${plan.version} of ${plan.workflow} has no task ${row.taskId}`);
    const { status, attempt, crashes, firstReadyAtMs, readyAtMs, dueAtMs, failure } = row;
    const { hasOutput, output } = row;
    return {
      index,
      status,
      attempt,
      crashes,
      firstReadyAtMs,
      readyAtMs,
      dueAtMs,
      hasOutput,
      output,
      failure,
    };
  });
}
