import type { Failure } from "../core/failure.js";
import type { ExecutionStatus, TaskStatus } from "../core/status.js";
import type { AttemptView } from "../engine/api.js";
import type { ExecutionKey, TaskKey } from "../engine/commit-store.js";
import type {
  ExecutionStore,
  StoredEnd,
  StoredExecutionView,
  StoredTaskView,
  ExecutionListQuery,
} from "../engine/execution-store.js";
import type { Statement } from "./client-work.js";
import { column, decodeFailure, hexOf, numberOf, payloadOf } from "./columns.js";
import { executionPage } from "./execution-list.js";
import type { DatabasePool } from "./pool.js";
import { toHeadraceError } from "./sql-errors.js";
import { statement } from "./statements.js";

const SQL = {
  getExecution: statement("get_execution"),
  countTasks: statement("count_tasks"),
  listTasks: statement("list_tasks"),
  listTasksSince: statement("list_tasks_since"),
  getTask: statement("get_task"),
  listAttempts: statement("list_attempts"),
  findEnded: statement("find_ended"),
};

/** Reads of executions, through the pool. */
export class PostgresExecutionStore implements ExecutionStore {
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  async getExecution(namespaceId: number, executionId: string): Promise<StoredExecutionView | undefined> {
    const [row] = await this.#rows<ExecutionColumns>(SQL.getExecution, [namespaceId, executionId]);
    return row === undefined ? undefined : executionOf(row);
  }

  async listExecutions(
    namespaceId: number,
    query: ExecutionListQuery,
  ): Promise<readonly StoredExecutionView[]> {
    const page = executionPage(namespaceId, query);
    return (await this.#rows<ExecutionColumns>(page.statement, page.values)).map(executionOf);
  }

  async countTasks(namespaceId: number, executionId: string): Promise<Partial<Record<TaskStatus, number>>> {
    type Row = { status: TaskStatus; tasks: number };
    const rows = await this.#rows<Row>(SQL.countTasks, [namespaceId, executionId]);
    return Object.fromEntries(rows.map(({ status, tasks }) => [status, tasks]));
  }

  async listTasks(namespaceId: number, executionId: string): Promise<readonly StoredTaskView[]> {
    return (await this.#rows<TaskColumns>(SQL.listTasks, [namespaceId, executionId])).map(taskOf);
  }

  async listTasksSince(
    namespaceId: number,
    executionId: string,
    revision: number,
  ): Promise<readonly StoredTaskView[]> {
    return (await this.#rows<TaskColumns>(SQL.listTasksSince, [namespaceId, executionId, revision])).map(
      taskOf,
    );
  }

  async getTask(key: TaskKey): Promise<StoredTaskView | undefined> {
    const [row] = await this.#rows<TaskColumns>(SQL.getTask, valuesOf(key));
    return row === undefined ? undefined : taskOf(row);
  }

  async listAttempts(key: TaskKey): Promise<readonly AttemptView[]> {
    return (await this.#rows<AttemptColumns>(SQL.listAttempts, valuesOf(key))).map(attemptOf);
  }

  async findEnded(keys: readonly ExecutionKey[]): Promise<readonly StoredEnd[]> {
    if (keys.length === 0) return [];
    const values = [column(keys, (key) => key.namespaceId), column(keys, (key) => key.executionId)];
    const rows = await this.#rows<EndColumns & { namespace_id: number }>(SQL.findEnded, values);
    return rows.map((row) => ({
      namespaceId: row.namespace_id,
      executionId: row.execution_id,
      status: row.status,
      output: payloadOf(row.output, row.output_encoding),
      failure: decodeFailure(row.failure),
    }));
  }

  async #rows<Row extends object>(sql: Statement, values: readonly unknown[]): Promise<Row[]> {
    try {
      const { rows } = await this.#pool.query(sql, values);
      return rows as Row[];
    } catch (error) {
      throw toHeadraceError(error);
    }
  }
}

function valuesOf({ namespaceId, executionId, taskId, mapIndex }: TaskKey): unknown[] {
  return [namespaceId, executionId, taskId, mapIndex];
}

interface EndColumns {
  execution_id: string;
  status: ExecutionStatus;
  output: Buffer | null;
  output_encoding: string | null;
  failure: Buffer | null;
}

interface ExecutionColumns extends Partial<EndColumns> {
  execution_id: string;
  status: ExecutionStatus;
  failure: Buffer | null;
  workflow: string;
  version: string;
  revision: number;
  /** Lists leave payloads out. */
  input?: Buffer;
  input_encoding?: string | null;
  labels: Record<string, string> | null;
  idempotency_key: string | null;
  trace_id: string;
  cancel_reason: string | null;
  priority: number;
  created_at_ms: number;
  started_at_ms: number | null;
  finished_at_ms: number | null;
  deadline_at_ms: number | null;
  cancel_requested_at_ms: number | null;
}

function executionOf(row: ExecutionColumns): StoredExecutionView {
  return {
    executionId: row.execution_id,
    workflow: row.workflow,
    version: row.version,
    status: row.status,
    revision: row.revision,
    input: payloadOf(row.input ?? null, row.input_encoding ?? null),
    output: payloadOf(row.output ?? null, row.output_encoding ?? null),
    failure: decodeFailure(row.failure),
    labels: row.labels ?? {},
    idempotencyKey: row.idempotency_key ?? "",
    traceId: hexOf(row.trace_id),
    createdAtMs: row.created_at_ms,
    startedAtMs: numberOf(row.started_at_ms),
    finishedAtMs: numberOf(row.finished_at_ms),
    deadlineAtMs: numberOf(row.deadline_at_ms),
    cancelRequestedAtMs: numberOf(row.cancel_requested_at_ms),
    cancelReason: row.cancel_reason ?? "",
    priority: row.priority,
  };
}

interface TaskColumns {
  execution_id: string;
  task_id: string;
  map_index: number;
  status: TaskStatus;
  attempt: number;
  max_attempts: number;
  crashes: number;
  lease: number;
  priority: number;
  session_id: string | null;
  queue: string;
  handler: string;
  failure: Buffer | null;
  worker_name: string | null;
  input?: Buffer | null;
  input_encoding?: string | null;
  output?: Buffer | null;
  output_encoding?: string | null;
  first_ready_at_ms: number | null;
  ready_at_ms: number | null;
  started_at_ms: number | null;
  finished_at_ms: number | null;
  due_at_ms: number | null;
}

function taskOf(row: TaskColumns): StoredTaskView {
  return {
    executionId: row.execution_id,
    taskId: row.task_id,
    mapIndex: row.map_index,
    status: row.status,
    handler: row.handler,
    queue: row.queue,
    priority: row.priority,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    crashes: row.crashes,
    lease: row.lease,
    worker: row.worker_name ?? "",
    sessionId: row.session_id ?? "",
    input: payloadOf(row.input ?? null, row.input_encoding ?? null),
    output: payloadOf(row.output ?? null, row.output_encoding ?? null),
    failure: decodeFailure(row.failure),
    firstReadyAtMs: numberOf(row.first_ready_at_ms),
    readyAtMs: numberOf(row.ready_at_ms),
    startedAtMs: numberOf(row.started_at_ms),
    finishedAtMs: numberOf(row.finished_at_ms),
    dueAtMs: numberOf(row.due_at_ms),
  };
}

interface AttemptColumns {
  attempt: number;
  lease: number;
  retry_delay_ms: number | null;
  failure: Buffer;
  worker_name: string | null;
  ready_at_ms: number | null;
  started_at_ms: number | null;
  finished_at_ms: number;
}

/** Attempts always have a failure; the reason is what makes them superseded. */
const NO_FAILURE: Failure = { reason: "UNKNOWN", message: "" };

function attemptOf(row: AttemptColumns): AttemptView {
  return {
    attempt: row.attempt,
    lease: row.lease,
    worker: row.worker_name ?? "",
    readyAtMs: numberOf(row.ready_at_ms),
    startedAtMs: numberOf(row.started_at_ms),
    finishedAtMs: row.finished_at_ms,
    failure: decodeFailure(row.failure) ?? NO_FAILURE,
    retryDelayMs: numberOf(row.retry_delay_ms),
  };
}
