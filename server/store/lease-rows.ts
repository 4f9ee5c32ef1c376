import type { TaskKey } from "../engine/commit-store.js";
import type { ClaimedTask, HeldTask, SessionRow } from "../engine/lease-store.js";
import { hexOf, numberOf, payloadOf } from "./columns.js";

/** The columns that name a task. */
export interface TaskColumns {
  namespace_id: number;
  execution_id: string;
  task_id: string;
  map_index: number;
}

/** A hand-out, as statements answer it. */
export interface HeldColumns extends TaskColumns {
  session_id: string;
  attempt: number;
  max_attempts: number;
  crashes: number;
  lease: number;
  queue: string;
  handler: string;
  attempt_timeout_ms: number | null;
  heartbeat_timeout_ms: number | null;
  started_at_ms: number;
  total_due_at_ms: number | null;
}

/** A claimed task, as statements answer it. */
export interface ClaimColumns extends HeldColumns {
  ordinal: number;
  priority: number;
  input: Buffer | null;
  input_encoding: string | null;
  heartbeat: Buffer | null;
  heartbeat_encoding: string | null;
  workflow: string;
  trace_id: string;
  trace_flags: number | null;
}

/** A session, as statements answer it. */
export interface SessionColumns {
  session_id: string;
  replica_id: string;
  worker_name: string;
  sdk_name: string;
  sdk_version: string;
  build_id: string;
  handlers: string[];
  queues: string[];
  labels: Record<string, string>;
  slots: number;
}

/** The task that a row names. */
export function taskKeyOf(row: TaskColumns): TaskKey {
  return {
    namespaceId: row.namespace_id,
    executionId: row.execution_id,
    taskId: row.task_id,
    mapIndex: row.map_index,
  };
}

/** A hand-out from its row. */
export function heldOf(row: HeldColumns): HeldTask {
  return {
    ...taskKeyOf(row),
    sessionId: row.session_id,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    crashes: row.crashes,
    lease: row.lease,
    queue: row.queue,
    handler: row.handler,
    attemptTimeoutMs: numberOf(row.attempt_timeout_ms),
    heartbeatTimeoutMs: numberOf(row.heartbeat_timeout_ms),
    startedAtMs: row.started_at_ms,
    totalDueAtMs: numberOf(row.total_due_at_ms),
  };
}

/** A claimed task from its row. */
export function claimedOf(row: ClaimColumns): ClaimedTask {
  const input = payloadOf(row.input, row.input_encoding);
  if (input === undefined)
    throw new RangeError(`Task ${row.task_id} of ${row.execution_id} is ready without an input`);
  return {
    ...heldOf(row),
    ordinal: row.ordinal,
    priority: row.priority,
    input,
    heartbeat: payloadOf(row.heartbeat, row.heartbeat_encoding),
    workflow: row.workflow,
    traceId: hexOf(row.trace_id),
    traceFlags: numberOf(row.trace_flags),
  };
}

/** A worker from the row of its session. */
export function workerOf(row: SessionColumns): Omit<SessionRow, "namespaceId" | "pollTimeoutMs"> {
  return {
    sessionId: row.session_id,
    replicaId: row.replica_id,
    workerName: row.worker_name,
    sdkName: row.sdk_name,
    sdkVersion: row.sdk_version,
    buildId: row.build_id,
    handlers: row.handlers,
    queues: row.queues,
    labels: row.labels,
    slots: row.slots,
  };
}
