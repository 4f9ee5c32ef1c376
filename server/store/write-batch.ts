import type { Writes } from "../engine/commit-store.js";
import { prepareValue, type Statement } from "./client-work.js";
import { column, dataOf, encodeFailure, encodingOf, orNull } from "./columns.js";
import { statement } from "./statements.js";

const SQL = {
  insertExecutions: statement("insert_executions"),
  updateExecutions: statement("update_executions"),
  touchExecutions: statement("touch_executions"),
  insertTasks: statement("insert_tasks"),
  insertSharedInputs: statement("insert_shared_inputs"),
  completeTasks: statement("complete_tasks"),
  updateTasks: statement("update_tasks"),
  insertAttempts: statement("insert_attempts"),
};

/** A statement with its values as they go over the wire. */
export interface PreparedWrite {
  readonly statement: Statement;
  readonly values: readonly unknown[];
}

/**
 * Everything that a batch writes, in order. Values are converted here, before anything is sent: if
 * pg could not convert those of one statement while others are on their way, these would be committed
 * without it.
 */
export function prepareWrites(writes: Writes): PreparedWrite[] {
  const prepared: PreparedWrite[] = [];
  if (writes.executionInserts.length > 0) prepared.push(insertExecutions(writes.executionInserts));
  if (writes.taskInserts.length > 0) prepared.push(insertTasks(writes.taskInserts));
  if (writes.sharedInputs.length > 0) prepared.push(insertSharedInputs(writes.sharedInputs));
  // Keeps what the task rows say before they are overwritten.
  if (writes.attemptInserts.length > 0) prepared.push(insertAttempts(writes.attemptInserts));
  if (writes.taskCompletions.length > 0) prepared.push(completeTasks(writes.taskCompletions));
  if (writes.taskUpdates.length > 0) prepared.push(updateTasks(writes.taskUpdates));
  if (writes.executionUpdates.length > 0) prepared.push(updateExecutions(writes.executionUpdates));
  if (writes.executionTouches.length > 0) prepared.push(touchExecutions(writes.executionTouches));
  return prepared;
}

function insertExecutions(rows: Writes["executionInserts"]): PreparedWrite {
  return prepare(SQL.insertExecutions, [
    column(rows, (row) => row.namespaceId),
    column(rows, (row) => row.executionId),
    column(rows, (row) => row.workflow),
    column(rows, (row) => row.version),
    column(rows, (row) => row.revision),
    column(rows, (row) => row.status),
    column(rows, (row) => row.priority),
    column(rows, (row) => row.traceId),
    column(rows, (row) => orNull(row.parentSpanId)),
    column(rows, (row) => orNull(row.traceFlags)),
    column(rows, (row) => orNull(row.tracestate)),
    column(rows, (row) => row.createdAtMs),
    column(rows, (row) => orNull(row.finishedAtMs)),
    column(rows, (row) => orNull(row.deadlineAtMs)),
    column(rows, (row) => orNull(row.dueAtMs)),
    column(rows, (row) => row.input.data),
    column(rows, (row) => encodingOf(row.input)),
    column(rows, (row) => dataOf(row.output)),
    column(rows, (row) => encodingOf(row.output)),
    column(rows, (row) => encodeFailure(row.failure)),
    column(rows, (row) => (row.labels === undefined ? null : JSON.stringify(row.labels))),
    column(rows, (row) => orNull(row.idempotencyKey)),
  ]);
}

function updateExecutions(rows: Writes["executionUpdates"]): PreparedWrite {
  return prepare(SQL.updateExecutions, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.revision),
    column(rows, (row) => row.status),
    column(rows, (row) => orNull(row.finishedAtMs)),
    column(rows, (row) => orNull(row.cancelRequestedAtMs)),
    column(rows, (row) => orNull(row.cancelDueAtMs)),
    column(rows, (row) => orNull(row.dueAtMs)),
    column(rows, (row) => dataOf(row.output)),
    column(rows, (row) => encodingOf(row.output)),
    column(rows, (row) => encodeFailure(row.failure)),
    column(rows, (row) => orNull(row.cancelReason)),
  ]);
}

function touchExecutions(rows: Writes["executionTouches"]): PreparedWrite {
  return prepare(SQL.touchExecutions, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.revision),
  ]);
}

function insertTasks(rows: Writes["taskInserts"]): PreparedWrite {
  return prepare(SQL.insertTasks, [
    column(rows, (row) => row.namespaceId),
    column(rows, (row) => row.executionId),
    column(rows, (row) => row.taskId),
    column(rows, (row) => row.mapIndex),
    column(rows, (row) => row.status),
    column(rows, (row) => row.revision),
    column(rows, (row) => row.attempt),
    column(rows, (row) => row.maxAttempts),
    column(rows, (row) => row.lease),
    column(rows, (row) => row.priority),
    column(rows, (row) => orNull(row.sessionId)),
    column(rows, (row) => orNull(row.readyAtMs)),
    column(rows, (row) => orNull(row.startedAtMs)),
    column(rows, (row) => orNull(row.finishedAtMs)),
    column(rows, (row) => orNull(row.dueAtMs)),
    column(rows, (row) => orNull(row.totalDueAtMs)),
    column(rows, (row) => orNull(row.attemptTimeoutMs)),
    column(rows, (row) => orNull(row.heartbeatTimeoutMs)),
    column(rows, (row) => row.queue),
    column(rows, (row) => row.handler),
    column(rows, (row) => (row.sharedInputId === undefined ? dataOf(row.input) : null)),
    column(rows, (row) => (row.sharedInputId === undefined ? encodingOf(row.input) : null)),
    column(rows, (row) => row.input?.data.length ?? 0),
    column(rows, (row) => orNull(row.sharedInputId)),
    column(rows, (row) => encodeFailure(row.failure)),
  ]);
}

function insertSharedInputs(rows: Writes["sharedInputs"]): PreparedWrite {
  return prepare(SQL.insertSharedInputs, [
    column(rows, (row) => row.namespaceId),
    column(rows, (row) => row.executionId),
    column(rows, (row) => row.inputId),
    column(rows, (row) => row.input.data),
    column(rows, (row) => encodingOf(row.input)),
  ]);
}

function completeTasks(rows: Writes["taskCompletions"]): PreparedWrite {
  return prepare(SQL.completeTasks, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.revision),
    column(rows, (row) => row.finishedAtMs),
    column(rows, (row) => dataOf(row.output)),
    column(rows, (row) => encodingOf(row.output)),
  ]);
}

function updateTasks(rows: Writes["taskUpdates"]): PreparedWrite {
  return prepare(SQL.updateTasks, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.status),
    column(rows, (row) => row.revision),
    column(rows, (row) => row.attempt),
    column(rows, (row) => row.crashes),
    column(rows, (row) => row.leaseStep),
    column(rows, (row) => orNull(row.readyAtMs)),
    column(rows, (row) => orNull(row.finishedAtMs)),
    column(rows, (row) => orNull(row.dueAtMs)),
    column(rows, (row) => encodeFailure(row.failure)),
    column(rows, (row) => dataOf(row.heartbeat)),
    column(rows, (row) => encodingOf(row.heartbeat)),
  ]);
}

function insertAttempts(rows: Writes["attemptInserts"]): PreparedWrite {
  return prepare(SQL.insertAttempts, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.finishedAtMs),
    column(rows, (row) => orNull(row.retryDelayMs)),
    column(rows, (row) => encodeFailure(row.failure)),
  ]);
}

function prepare(statement: Statement, values: readonly unknown[]): PreparedWrite {
  return { statement, values: values.map((value) => prepareValue(value)) };
}
