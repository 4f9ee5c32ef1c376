import type { Writes } from "../engine/commit-store.js";
import type { Query } from "./client-work.js";
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

/** Sends everything that a batch writes, without waiting in between. */
export function sendWrites(query: Query, writes: Writes): Promise<unknown>[] {
  const sent: Promise<unknown>[] = [];
  if (writes.executionInserts.length > 0) sent.push(insertExecutions(query, writes.executionInserts));
  if (writes.taskInserts.length > 0) sent.push(insertTasks(query, writes.taskInserts));
  if (writes.sharedInputs.length > 0) sent.push(insertSharedInputs(query, writes.sharedInputs));
  // Keeps what the task rows say before they are overwritten.
  if (writes.attemptInserts.length > 0) sent.push(insertAttempts(query, writes.attemptInserts));
  if (writes.taskCompletions.length > 0) sent.push(completeTasks(query, writes.taskCompletions));
  if (writes.taskUpdates.length > 0) sent.push(updateTasks(query, writes.taskUpdates));
  if (writes.executionUpdates.length > 0) sent.push(updateExecutions(query, writes.executionUpdates));
  if (writes.executionTouches.length > 0) sent.push(touchExecutions(query, writes.executionTouches));
  return sent;
}

function insertExecutions(query: Query, rows: Writes["executionInserts"]): Promise<unknown> {
  return query(SQL.insertExecutions, [
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

function updateExecutions(query: Query, rows: Writes["executionUpdates"]): Promise<unknown> {
  return query(SQL.updateExecutions, [
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

function touchExecutions(query: Query, rows: Writes["executionTouches"]): Promise<unknown> {
  return query(SQL.touchExecutions, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.revision),
  ]);
}

function insertTasks(query: Query, rows: Writes["taskInserts"]): Promise<unknown> {
  return query(SQL.insertTasks, [
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

function insertSharedInputs(query: Query, rows: Writes["sharedInputs"]): Promise<unknown> {
  return query(SQL.insertSharedInputs, [
    column(rows, (row) => row.namespaceId),
    column(rows, (row) => row.executionId),
    column(rows, (row) => row.inputId),
    column(rows, (row) => row.input.data),
    column(rows, (row) => encodingOf(row.input)),
  ]);
}

function completeTasks(query: Query, rows: Writes["taskCompletions"]): Promise<unknown> {
  return query(SQL.completeTasks, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.revision),
    column(rows, (row) => row.finishedAtMs),
    column(rows, (row) => dataOf(row.output)),
    column(rows, (row) => encodingOf(row.output)),
  ]);
}

function updateTasks(query: Query, rows: Writes["taskUpdates"]): Promise<unknown> {
  return query(SQL.updateTasks, [
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

function insertAttempts(query: Query, rows: Writes["attemptInserts"]): Promise<unknown> {
  return query(SQL.insertAttempts, [
    column(rows, (row) => row.location),
    column(rows, (row) => row.finishedAtMs),
    column(rows, (row) => orNull(row.retryDelayMs)),
    column(rows, (row) => encodeFailure(row.failure)),
  ]);
}
