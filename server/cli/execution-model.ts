import { TaskStatus, type Execution, type Task } from "../gen/headrace/v1/execution_pb.js";
import type { WaitReason, WatchExecutionResponse } from "../gen/headrace/v1/execution_service_pb.js";
import type { TaskSpec } from "../gen/headrace/v1/workflow_pb.js";

/** A place in the graph: a task of the workflow, or an instance of one under a map. */
export interface GraphRow {
  readonly key: string;
  /** Longest way from a task without dependencies. */
  readonly depth: number;
  readonly dependsOn: readonly string[];
}

/** What is known of an execution that is being watched. */
export interface ExecutionModel {
  execution: Execution;
  /** By depth, then in the order of the workflow. */
  readonly rows: GraphRow[];
  /** By key. A task that is PENDING has none. */
  readonly tasks: Map<string, Task>;
  reasons: readonly WaitReason[];
  /** What the watching itself has to say, such as that the connection is lost. */
  note: string;
}

/** A model in which every task is still PENDING. */
export function createModel(execution: Execution, specs: readonly TaskSpec[]): ExecutionModel {
  return { execution, rows: orderRows(specs), tasks: new Map(), reasons: [], note: "" };
}

/** A change of a task that is worth a line: another status or another try. */
export interface TaskChange {
  readonly key: string;
  readonly task: Task;
}

/** Takes an update in and tells which tasks changed their status or attempt, in the order of the rows. */
export function applyUpdate(model: ExecutionModel, update: WatchExecutionResponse): TaskChange[] {
  if (update.execution !== undefined) model.execution = update.execution;
  const changes: TaskChange[] = [];
  for (const task of update.tasks) {
    const key = taskKey(task);
    const before = model.tasks.get(key);
    model.tasks.set(key, task);
    if (before === undefined && task.mapIndex >= 0) insertInstance(model.rows, task.taskId, key);
    if ((before?.status ?? TaskStatus.PENDING) !== task.status || (before?.attempt ?? 0) !== task.attempt) {
      changes.push({ key, task });
    }
  }
  return changes.length > 1 ? inRowOrder(changes, model.rows) : changes;
}

function inRowOrder(changes: TaskChange[], rows: readonly GraphRow[]): TaskChange[] {
  const places = new Map(rows.map((row, index) => [row.key, index]));
  return changes.sort((a, b) => (places.get(a.key) ?? 0) - (places.get(b.key) ?? 0));
}

/** The id of a task, with the index of its item under a map: "resize[3]". */
export function taskKey(task: { readonly taskId: string; readonly mapIndex: number }): string {
  return task.mapIndex < 0 ? task.taskId : `${task.taskId}[${task.mapIndex}]`;
}

/** The status of a row; PENDING as long as nothing was told of its task. */
export function statusOf(model: ExecutionModel, key: string): TaskStatus {
  return model.tasks.get(key)?.status ?? TaskStatus.PENDING;
}

/** How many tasks have each status, in the order of the statuses. */
export function countStatuses(model: ExecutionModel): Map<TaskStatus, number> {
  const counts = new Map<TaskStatus, number>();
  for (const { key } of model.rows) {
    const status = statusOf(model, key);
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  return new Map([...counts].sort(([a], [b]) => a - b));
}

function insertInstance(rows: GraphRow[], taskId: string, key: string): void {
  const at = rows.findLastIndex((row) => row.key === taskId || row.key.startsWith(`${taskId}[`));
  rows.splice(at < 0 ? rows.length : at + 1, 0, { key, depth: rows[at]?.depth ?? 0, dependsOn: [] });
}

/** Kahn's order, level by level. Workflows of the server have no cycles. */
function orderRows(specs: readonly TaskSpec[]): GraphRow[] {
  const successors = new Map<string, string[]>(specs.map((spec) => [spec.id, []]));
  const open = new Map<string, number>(specs.map((spec) => [spec.id, spec.dependsOn.length]));
  for (const spec of specs) for (const id of spec.dependsOn) successors.get(id)?.push(spec.id);
  const depths = new Map<string, number>();
  let level = specs.filter((spec) => spec.dependsOn.length === 0).map((spec) => spec.id);
  for (let depth = 0; level.length > 0; depth++) {
    const next: string[] = [];
    for (const id of level) {
      depths.set(id, depth);
      for (const successor of successors.get(id) ?? []) {
        const left = (open.get(successor) ?? 0) - 1;
        open.set(successor, left);
        if (left === 0) next.push(successor);
      }
    }
    level = next;
  }
  return specs
    .map((spec) => ({ key: spec.id, depth: depths.get(spec.id) ?? 0, dependsOn: spec.dependsOn }))
    .sort((a, b) => a.depth - b.depth);
}
