import { traceparentOf } from "../core/trace-context.js";
import type { Assignment } from "./api.js";
import { refOf } from "./held-attempt.js";
import type { ClaimedTask } from "./lease-store.js";

/** What the worker is told of a claimed hand-out. */
export function assignmentOf(task: ClaimedTask, deadlineAtMs: number | undefined): Assignment {
  return {
    attempt: refOf(task),
    handler: task.handler,
    queue: task.queue,
    input: task.input,
    workflow: task.workflow,
    maxAttempts: task.maxAttempts,
    crashes: task.crashes,
    deadlineAtMs,
    heartbeatTimeoutMs: task.heartbeatTimeoutMs,
    heartbeatDetails: task.heartbeat,
    traceparent: traceparentOf(task, task.traceId, task.traceFlags),
  };
}
