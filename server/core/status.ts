/** All statuses of an execution, in the order in which they can follow each other. */
export const EXECUTION_STATUSES = [
  "PENDING",
  "RUNNING",
  "PAUSED",
  "COMPLETED",
  "FAILED",
  "CANCELLED",
  "TIMED_OUT",
] as const;
export type ExecutionStatus = (typeof EXECUTION_STATUSES)[number];

/** All statuses of a task. SCHEDULED waits for a time, WAITING for something that is not a worker. */
export const TASK_STATUSES = [
  "PENDING",
  "SCHEDULED",
  "READY",
  "RUNNING",
  "WAITING",
  "COMPLETED",
  "FAILED",
  "SKIPPED",
  "CANCELLED",
  "TIMED_OUT",
] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

const TERMINAL: ReadonlySet<string> = new Set(["COMPLETED", "FAILED", "SKIPPED", "CANCELLED", "TIMED_OUT"]);

/** Nothing changes any more after a terminal status. The same words end tasks and executions. */
export function isTerminal(status: ExecutionStatus | TaskStatus): boolean {
  return TERMINAL.has(status);
}
