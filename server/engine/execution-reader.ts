import { HeadraceError } from "../core/errors.js";
import { taskPriority, type Plan, type PlanTask } from "../core/plan.js";
import { isTerminal, type ExecutionStatus, type TaskStatus } from "../core/status.js";
import type { AttemptView, ExecutionQuery, ExecutionView, Page, TaskQuery, TaskView } from "./api.js";
import { executionNotFound } from "./apply-commands.js";
import type { ExecutionStore, StoredExecutionView, StoredTaskView } from "./execution-store.js";
import { decodePageToken, encodePageToken } from "../core/page-token.js";
import type { PlanCache } from "./plan-cache.js";
import type { Sessions } from "./sessions.js";
import { parseVersion, versionText } from "./workflow-version.js";

/** Reads executions as clients see them: rows, and what has no row yet from the plan. */
export class ExecutionReader {
  readonly #store: ExecutionStore;
  readonly #plans: PlanCache;
  readonly #sessions: Sessions;

  constructor(context: { store: ExecutionStore; plans: PlanCache; sessions: Sessions }) {
    this.#store = context.store;
    this.#plans = context.plans;
    this.#sessions = context.sessions;
  }

  /** A task row as clients see it. Progress is known for what workers of this replica run. */
  viewOf(row: StoredTaskView): TaskView {
    const progress = row.status === "RUNNING" ? this.#sessions.progressOf(row.sessionId, row) : undefined;
    return { ...row, progress };
  }

  async get(namespace: string, executionId: string): Promise<ExecutionView> {
    const namespaceId = await this.#plans.namespaceId(namespace);
    const row = await this.find(namespaceId, executionId);
    const counts = await this.#store.countTasks(namespaceId, executionId);
    const plan = await this.#plans.getPlan(namespaceId, row.workflow, row.version);
    return {
      ...row,
      version: versionText(row.version),
      namespace,
      taskCounts: withUnwritten(counts, plan, row.status),
    };
  }

  /** The row of an execution. Throws EXECUTION_NOT_FOUND. */
  async find(namespaceId: number, executionId: string): Promise<StoredExecutionView> {
    const row = await this.#store.getExecution(namespaceId, executionId);
    if (row === undefined) throw executionNotFound(executionId);
    return row;
  }

  async list(
    namespace: string,
    { pageSize, pageToken, version, ...others }: ExecutionQuery,
  ): Promise<Page<ExecutionView>> {
    const namespaceId = await this.#plans.namespaceId(namespace);
    const versions = version === "" ? undefined : parseVersion(version, "filter.version");
    const filter = { ...others, versions };
    const list = { name: "executions", filter: { namespaceId, ...filter }, kinds: ["uuid"] } as const;
    const afterExecutionId = decodePageToken(list, pageToken)?.[0];
    const rows = await this.#store.listExecutions(namespaceId, {
      ...filter,
      afterExecutionId,
      limit: pageSize + 1,
    });
    const items = rows
      .slice(0, pageSize)
      .map((row) => ({ ...row, version: versionText(row.version), namespace, taskCounts: {} }));
    const last = items.at(-1);
    const more = rows.length > pageSize && last !== undefined;
    return { items, nextPageToken: more ? encodePageToken(list, [last.executionId]) : "" };
  }

  async listTasks(
    namespace: string,
    { executionId, statuses, pageSize, pageToken }: TaskQuery,
  ): Promise<Page<TaskView>> {
    const namespaceId = await this.#plans.namespaceId(namespace);
    const execution = await this.find(namespaceId, executionId);
    const all = await this.tasks(namespaceId, execution);
    const wanted = statuses.length === 0 ? all : all.filter((task) => statuses.includes(task.status));
    const list = {
      name: "tasks",
      filter: { namespaceId, executionId, statuses },
      kinds: ["integer"],
    } as const;
    const [from] = decodePageToken(list, pageToken) ?? [0];
    const items = wanted.slice(from, from + pageSize);
    const next = from + items.length;
    return { items, nextPageToken: next < wanted.length ? encodePageToken(list, [next]) : "" };
  }

  /** Every task of an execution in plan order. */
  async tasks(namespaceId: number, execution: StoredExecutionView): Promise<TaskView[]> {
    const plan = await this.#plans.getPlan(namespaceId, execution.workflow, execution.version);
    const rows = await this.#store.listTasks(namespaceId, execution.executionId);
    const byId = new Map(rows.map((row) => [row.taskId, row]));
    return plan.tasks.map((task) => {
      const row = byId.get(task.id);
      return row === undefined ? unwrittenTask(task, execution) : this.viewOf(row);
    });
  }

  async getTask(
    namespace: string,
    executionId: string,
    taskId: string,
    mapIndex: number,
  ): Promise<{ task: TaskView; attempts: readonly AttemptView[] }> {
    const namespaceId = await this.#plans.namespaceId(namespace);
    const execution = await this.find(namespaceId, executionId);
    const key = { namespaceId, executionId, taskId, mapIndex };
    const row = await this.#store.getTask(key);
    if (row !== undefined) return { task: this.viewOf(row), attempts: await this.#store.listAttempts(key) };
    const plan = await this.#plans.getPlan(namespaceId, execution.workflow, execution.version);
    const task = plan.tasks.find(({ id }) => id === taskId);
    if (task === undefined || mapIndex >= 0) throw taskNotFound(executionId, taskId, mapIndex);
    return { task: unwrittenTask(task, execution), attempts: [] };
  }
}

/** A task that has no row: PENDING, or cancelled with an execution that has ended. */
function unwrittenTask(
  task: PlanTask,
  execution: Pick<StoredExecutionView, "executionId" | "status" | "priority">,
): TaskView {
  return {
    executionId: execution.executionId,
    taskId: task.id,
    mapIndex: -1,
    status: unwrittenStatus(execution.status),
    handler: task.handler,
    queue: task.queue,
    priority: taskPriority(task, execution),
    attempt: 0,
    maxAttempts: task.retry.maxAttempts,
    crashes: 0,
    lease: 0,
    worker: "",
    sessionId: "",
    input: undefined,
    output: undefined,
    failure: undefined,
    firstReadyAtMs: undefined,
    readyAtMs: undefined,
    startedAtMs: undefined,
    finishedAtMs: undefined,
    dueAtMs: undefined,
    progress: undefined,
  };
}

function unwrittenStatus(status: ExecutionStatus): TaskStatus {
  return isTerminal(status) ? "CANCELLED" : "PENDING";
}

function withUnwritten(
  counts: Readonly<Partial<Record<TaskStatus, number>>>,
  plan: Plan,
  status: ExecutionStatus,
): Partial<Record<TaskStatus, number>> {
  const written = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const unwritten = plan.tasks.length - written;
  const key = unwrittenStatus(status);
  return unwritten > 0 ? { ...counts, [key]: (counts[key] ?? 0) + unwritten } : { ...counts };
}

/** The error of a task that is neither written nor planned. */
export function taskNotFound(executionId: string, taskId: string, mapIndex: number): HeadraceError {
  const name = mapIndex < 0 ? `"${taskId}"` : `"${taskId}" with map index ${mapIndex}`;
  return new HeadraceError("TASK_NOT_FOUND", `Execution ${executionId} has no task ${name}.`, {
    field: "task_id",
    actual: taskId,
  });
}
