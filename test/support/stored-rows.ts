import { jsonPayload, type Payload } from "../../server/core/payload.js";
import type {
  CommitStore,
  ExecutionInsert,
  LockedRows,
  LockRequest,
  StateReader,
  TaskInsert,
  Writes,
} from "../../server/engine/commit-store.js";
import { newWrites } from "../../server/engine/build-writes.js";
import { uuidv7 } from "../../server/engine/ids.js";
import type { SessionRow } from "../../server/engine/lease-store.js";

/** A payload that no text encoding leaves as it is. */
export const EVERY_BYTE: Payload = {
  data: Buffer.from(Array.from({ length: 256 }, (_, n) => n)),
  encoding: "raw/bytes",
};

/** A time of the past in whole milliseconds, which PostgreSQL gives back as it was. */
export const T0 = 1_700_000_000_000;

export const NO_LOCKS: LockRequest = { executions: [], tasks: [], openTasksOf: [], starts: [] };

export function executionRow(more: Partial<ExecutionInsert> = {}): ExecutionInsert {
  return {
    namespaceId: 1,
    executionId: uuidv7(),
    workflow: "w",
    version: "00000000-0000-4000-8000-000000000001",
    revision: 1,
    status: "RUNNING",
    priority: 0,
    traceId: "0123456789abcdef0123456789abcdef",
    parentSpanId: undefined,
    traceFlags: undefined,
    tracestate: undefined,
    createdAtMs: T0,
    finishedAtMs: undefined,
    deadlineAtMs: undefined,
    dueAtMs: undefined,
    input: jsonPayload({}),
    output: undefined,
    failure: undefined,
    labels: undefined,
    idempotencyKey: undefined,
    ...more,
  };
}

/** A READY task. */
export function taskRow(executionId: string, more: Partial<TaskInsert> = {}): TaskInsert {
  return {
    namespaceId: 1,
    executionId,
    taskId: "a",
    mapIndex: -1,
    status: "READY",
    revision: 1,
    attempt: 1,
    maxAttempts: 3,
    lease: 0,
    priority: 0,
    sessionId: undefined,
    readyAtMs: T0,
    startedAtMs: undefined,
    finishedAtMs: undefined,
    dueAtMs: undefined,
    totalDueAtMs: undefined,
    attemptTimeoutMs: undefined,
    heartbeatTimeoutMs: undefined,
    queue: "q",
    handler: "h",
    input: jsonPayload(null),
    sharedInputId: undefined,
    failure: undefined,
    ...more,
  };
}

/** A task that a session has. */
export function runningRow(
  executionId: string,
  sessionId: string,
  more: Partial<TaskInsert> = {},
): TaskInsert {
  return taskRow(executionId, { status: "RUNNING", lease: 1, sessionId, startedAtMs: T0 + 5, ...more });
}

export function sessionRow(more: Partial<SessionRow> = {}): SessionRow {
  return {
    namespaceId: 1,
    sessionId: uuidv7(),
    replicaId: uuidv7(),
    workerName: "wörker",
    sdkName: "sdk",
    sdkVersion: "1",
    buildId: "b",
    handlers: ["h", "k"],
    queues: ["q"],
    labels: { zone: "€" },
    slots: 3,
    pollTimeoutMs: undefined,
    ...more,
  };
}

/** One commit that locks and writes. */
export async function commit(
  store: CommitStore,
  locks: Partial<LockRequest>,
  decide: (rows: LockedRows, reader: StateReader) => Partial<Writes> | Promise<Partial<Writes>>,
): Promise<void> {
  await store.transact(0, { ...NO_LOCKS, ...locks }, async (rows, reader) => ({
    ...newWrites(),
    ...(await decide(rows, reader)),
  }));
}

/** The value with its times, of every field that ends in Ms, in whole milliseconds. */
export function rounded<T>(value: T): T {
  if (Array.isArray(value)) return value.map(rounded) as T;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value).map(([name, field]: [string, unknown]) =>
    typeof field === "number" && name.endsWith("Ms") ? [name, Math.round(field)] : [name, rounded(field)],
  );
  return Object.fromEntries(entries) as T;
}
