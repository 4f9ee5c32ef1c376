import type { LockedRows, LockRequest, TaskKey, Writes } from "../server/engine/commit-store.js";
import { uuidv7 } from "../server/engine/ids.js";

const NAMESPACE_ID = 1;
const VERSION = "0197a7f0-0000-7000-8000-000000000001";
const SESSION = "0197a7f0-0000-7000-8000-000000000002";
const PAYLOAD = { data: Buffer.from('{"n":12345}'), encoding: "json" };

/** New executions, as `single` starts them: in the order of their ids, which is that of the locks. */
export function newKeys(count: number): TaskKey[] {
  const ids = Array.from({ length: count }, () => uuidv7()).sort();
  return ids.map((executionId) => ({ namespaceId: NAMESPACE_ID, executionId, taskId: "echo", mapIndex: -1 }));
}

/** Locks what is completed. */
export function locksOf(completed: readonly TaskKey[]): LockRequest {
  return { executions: completed, tasks: completed, openTasksOf: [], starts: [] };
}

/** The rows of one transaction: some executions begin with their task handed out, others complete. */
export function writesOf(started: readonly TaskKey[], locked: LockedRows): Writes {
  const nowMs = Date.now();
  return {
    executionInserts: started.map((key) => executionInsert(key, nowMs)),
    taskInserts: started.map((key) => taskInsert(key, nowMs)),
    taskCompletions: locked.tasks.map((task) => ({
      location: present(task).location,
      revision: 2,
      finishedAtMs: nowMs,
      output: PAYLOAD,
    })),
    executionUpdates: locked.executions.map((execution) => executionEnd(present(execution).location, nowMs)),
    executionTouches: [],
    sharedInputs: [],
    taskUpdates: [],
    attemptInserts: [],
  };
}

function executionInsert(
  { namespaceId, executionId }: TaskKey,
  nowMs: number,
): Writes["executionInserts"][number] {
  return {
    namespaceId,
    executionId,
    workflow: "bench-single",
    version: VERSION,
    revision: 1,
    status: "RUNNING",
    priority: 0,
    traceId: executionId,
    createdAtMs: nowMs,
    input: PAYLOAD,
    parentSpanId: undefined,
    traceFlags: undefined,
    tracestate: undefined,
    finishedAtMs: undefined,
    deadlineAtMs: undefined,
    dueAtMs: undefined,
    output: undefined,
    failure: undefined,
    labels: undefined,
    idempotencyKey: undefined,
  };
}

function taskInsert(key: TaskKey, nowMs: number): Writes["taskInserts"][number] {
  return {
    ...key,
    status: "RUNNING",
    revision: 1,
    attempt: 1,
    maxAttempts: 3,
    lease: 1,
    priority: 0,
    sessionId: SESSION,
    readyAtMs: nowMs,
    startedAtMs: nowMs,
    queue: "default",
    handler: "echo",
    input: PAYLOAD,
    finishedAtMs: undefined,
    dueAtMs: undefined,
    totalDueAtMs: undefined,
    attemptTimeoutMs: undefined,
    heartbeatTimeoutMs: undefined,
    sharedInputId: undefined,
    failure: undefined,
  };
}

function executionEnd(location: string, nowMs: number): Writes["executionUpdates"][number] {
  return {
    location,
    revision: 2,
    status: "COMPLETED",
    finishedAtMs: nowMs,
    output: PAYLOAD,
    cancelRequestedAtMs: undefined,
    cancelDueAtMs: undefined,
    cancelReason: undefined,
    dueAtMs: undefined,
    failure: undefined,
  };
}

function present<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new Error("A row that was written is not there");
  return row;
}
