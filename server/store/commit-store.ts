import {
  CommitError,
  type CommitStore,
  type CommitVerdict,
  type ExecutionKey,
  type ExecutionRow,
  type FoundStart,
  type LockedExecution,
  type LockedOpenTask,
  type LockedRows,
  type LockedTask,
  type LockRequest,
  type StateReader,
  type TaskRow,
  type Writes,
} from "../engine/commit-store.js";
import type { Payload } from "../core/payload.js";
import type { ExecutionStatus, TaskStatus } from "../core/status.js";
import { BEGIN, COMMIT, type Query } from "./client-work.js";
import { column, decodeFailure, hexOf, numberOf, orNull, payloadOf } from "./columns.js";
import type { PipelineConnection } from "./pipeline-client.js";
import { classifySqlError, codeOf } from "./sql-errors.js";
import { statement } from "./statements.js";
import { prepareWrites } from "./write-batch.js";

const SQL = {
  lockExecutions: statement("lock_executions"),
  lockTasks: statement("lock_tasks"),
  lockOpenTasks: statement("lock_open_tasks"),
  findStarts: statement("find_starts"),
  readExecution: statement("read_execution"),
  readTasksSince: statement("read_tasks_since"),
  readOutputs: statement("read_outputs"),
};

/** Commits of lanes, each on a connection of its own. */
export class PostgresCommitStore implements CommitStore {
  readonly #lanes: readonly PipelineConnection[];

  constructor(lanes: readonly PipelineConnection[]) {
    this.#lanes = lanes;
  }

  async transact(
    lane: number,
    locks: LockRequest,
    decide: (rows: LockedRows, reader: StateReader) => Promise<Writes> | Writes,
  ): Promise<void> {
    const connection = this.#lanes[lane];
    if (connection === undefined) throw new RangeError(`There is no lane ${lane}`);
    const progress = { commitSent: false };
    try {
      await connection.run((query) => transaction(query, locks, decide, progress));
    } catch (error) {
      throw error instanceof CommitError ? error : asCommitError(error, progress.commitSent);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}

/**
 * One round trip for the locks and one for everything that is written; a batch that locks nothing
 * takes the second only. `begin` is not waited for.
 */
async function transaction(
  query: Query,
  locks: LockRequest,
  decide: (rows: LockedRows, reader: StateReader) => Promise<Writes> | Writes,
  progress: { commitSent: boolean },
): Promise<void> {
  const begun = query(BEGIN);
  const rows = await lockRows(query, locks);
  const writes = await decide(rows, readerOf(query));
  const prepared = prepareWrites(writes);
  progress.commitSent = true;
  const sent = prepared.map(({ statement, values }) => query(statement, values));
  await Promise.all([begun, ...sent, query(COMMIT)]);
}

function asCommitError(error: unknown, commitSent: boolean): CommitError {
  return new CommitError(verdictOf(error, commitSent), error);
}

function verdictOf(error: unknown, commitSent: boolean): CommitVerdict {
  switch (classifySqlError(error)) {
    case "RETRYABLE":
      return "retry";
    case "CONNECTION_LOST":
      return commitSent ? "unknown" : "retry";
    case "UNIQUE_VIOLATION":
      return "conflict";
    case "OTHER":
      return TIMED_OUT.has(codeOf(error) ?? "") ? "retry" : "refused";
  }
}

/** A statement, or the wait between two, took too long and was rolled back: the load's fault, not the batch's. */
const TIMED_OUT: ReadonlySet<string> = new Set(["57014", "25P03", "25P04"]);

async function lockRows(query: Query, locks: LockRequest): Promise<LockedRows> {
  // Executions come before their tasks, here and in every other transaction.
  const [executions, tasks, openTasks, starts] = await Promise.all([
    lockExecutions(query, locks),
    lockTasks(query, locks),
    lockOpenTasks(query, locks),
    findStarts(query, locks),
  ]);
  return { executions, tasks, openTasks, starts };
}

async function lockExecutions(query: Query, { executions }: LockRequest): Promise<LockedRows["executions"]> {
  const locked: Array<LockedExecution | undefined> = [];
  if (executions.length === 0) return locked;
  interface Row {
    ordinal: number;
    ctid: string;
    revision: number;
  }
  const { rows } = await query<Row>(SQL.lockExecutions, keyColumns(executions));
  for (const { ordinal, ctid, revision } of rows) locked[ordinal - 1] = { location: ctid, revision };
  return locked;
}

interface HandOutRow {
  ordinal: number;
  ctid: string;
  status: TaskStatus;
  attempt: number;
  lease: number;
  session_id: string | null;
}

async function lockTasks(query: Query, { tasks }: LockRequest): Promise<LockedRows["tasks"]> {
  const locked: Array<LockedTask | undefined> = [];
  if (tasks.length === 0) return locked;
  const keys = [
    ...keyColumns(tasks),
    column(tasks, (key) => key.taskId),
    column(tasks, (key) => key.mapIndex),
  ];
  const { rows } = await query<HandOutRow>(SQL.lockTasks, keys);
  for (const row of rows) locked[row.ordinal - 1] = handOutOf(row);
  return locked;
}

async function lockOpenTasks(query: Query, { openTasksOf }: LockRequest): Promise<LockedRows["openTasks"]> {
  const locked: LockedOpenTask[][] = openTasksOf.map(() => []);
  if (openTasksOf.length === 0) return locked;
  const { rows } = await query<HandOutRow & { task_id: string; map_index: number }>(
    SQL.lockOpenTasks,
    keyColumns(openTasksOf),
  );
  for (const row of rows) {
    locked[row.ordinal - 1]?.push({ ...handOutOf(row), taskId: row.task_id, mapIndex: row.map_index });
  }
  return locked;
}

function handOutOf({ ctid, status, attempt, lease, session_id }: HandOutRow): LockedTask {
  return { location: ctid, status, attempt, lease, sessionId: session_id ?? undefined };
}

async function findStarts(query: Query, { starts }: LockRequest): Promise<LockedRows["starts"]> {
  const found: FoundStart[][] = starts.map(() => []);
  if (starts.length === 0) return found;
  interface Row {
    ordinal: number;
    execution_id: string;
    workflow: string;
    version: string;
    input: Buffer;
    input_encoding: string | null;
    trace_id: string;
    idempotency_key: string | null;
  }
  const keys = [...keyColumns(starts), column(starts, (start) => orNull(start.idempotencyKey))];
  const { rows } = await query<Row>(SQL.findStarts, keys);
  for (const row of rows) {
    const { execution_id: executionId, workflow, input, input_encoding, idempotency_key } = row;
    found[row.ordinal - 1]?.push({
      executionId,
      workflow,
      version: row.version,
      input: { data: input, encoding: input_encoding ?? "json" },
      traceId: hexOf(row.trace_id),
      idempotencyKey: idempotency_key ?? undefined,
    });
  }
  return found;
}

function keyColumns(keys: readonly ExecutionKey[]): [number[], string[]] {
  return [column(keys, (key) => key.namespaceId), column(keys, (key) => key.executionId)];
}

function readerOf(query: Query): StateReader {
  return {
    readExecution: (key) => readExecution(query, key),
    readTasksSince: (key, revision) => readTasksSince(query, key, revision),
    readOutputs: (key, taskIds) => readOutputs(query, key, taskIds),
  };
}

interface StoredExecutionRow {
  workflow: string;
  version: string;
  revision: number;
  status: ExecutionStatus;
  priority: number;
  trace_id: string;
  trace_flags: number | null;
  input: Buffer;
  input_encoding: string | null;
  output: Buffer | null;
  output_encoding: string | null;
  failure: Buffer | null;
  created_at_ms: number;
  deadline_at_ms: number | null;
  cancel_requested_at_ms: number | null;
  cancel_due_at_ms: number | null;
  finished_at_ms: number | null;
  cancel_reason: string | null;
}

async function readExecution(query: Query, key: ExecutionKey): Promise<ExecutionRow> {
  const { rows } = await query<StoredExecutionRow>(SQL.readExecution, [key.namespaceId, key.executionId]);
  const row = rows[0];
  if (row === undefined) throw new RangeError(`Execution ${key.executionId} is locked and cannot be read`);
  return {
    workflow: row.workflow,
    version: row.version,
    revision: row.revision,
    status: row.status,
    priority: row.priority,
    traceId: hexOf(row.trace_id),
    traceFlags: numberOf(row.trace_flags),
    input: { data: row.input, encoding: row.input_encoding ?? "json" },
    output: payloadOf(row.output, row.output_encoding),
    failure: decodeFailure(row.failure),
    createdAtMs: row.created_at_ms,
    deadlineAtMs: numberOf(row.deadline_at_ms),
    cancelRequestedAtMs: numberOf(row.cancel_requested_at_ms),
    cancelDueAtMs: numberOf(row.cancel_due_at_ms),
    finishedAtMs: numberOf(row.finished_at_ms),
    cancelReason: row.cancel_reason ?? undefined,
  };
}

interface StoredTaskRow {
  task_id: string;
  map_index: number;
  status: TaskStatus;
  attempt: number;
  crashes: number;
  has_output: boolean;
  output: Buffer | null;
  output_encoding: string | null;
  failure: Buffer | null;
  first_ready_at_ms: number | null;
  ready_at_ms: number | null;
  due_at_ms: number | null;
}

async function readTasksSince(query: Query, key: ExecutionKey, revision: number): Promise<TaskRow[]> {
  const values = [key.namespaceId, key.executionId, revision];
  const { rows } = await query<StoredTaskRow>(SQL.readTasksSince, values);
  return rows.map((row) => ({
    taskId: row.task_id,
    mapIndex: row.map_index,
    status: row.status,
    attempt: row.attempt,
    crashes: row.crashes,
    firstReadyAtMs: numberOf(row.first_ready_at_ms),
    readyAtMs: numberOf(row.ready_at_ms),
    dueAtMs: numberOf(row.due_at_ms),
    hasOutput: row.has_output,
    output: payloadOf(row.output, row.output_encoding),
    failure: decodeFailure(row.failure),
  }));
}

async function readOutputs(
  query: Query,
  { namespaceId, executionId }: ExecutionKey,
  taskIds: readonly string[],
): Promise<Array<Payload | undefined>> {
  const outputs: Array<Payload | undefined> = [];
  interface Row {
    ordinal: number;
    output: Buffer | null;
    output_encoding: string | null;
  }
  const { rows } = await query<Row>(SQL.readOutputs, [namespaceId, executionId, taskIds]);
  for (const row of rows) outputs[row.ordinal - 1] = payloadOf(row.output, row.output_encoding);
  return outputs;
}
