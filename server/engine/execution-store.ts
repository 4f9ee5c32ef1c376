import type { TaskStatus } from "../core/status.js";
import type { AttemptView, ExecutionEnd, ExecutionQuery, ExecutionView, TaskView } from "./api.js";
import type { ExecutionKey, TaskKey } from "./commit-store.js";
import type { VersionRange } from "./workflow-version.js";

/** A task row for readers; what its plan knows is added by the engine. */
export type StoredTaskView = Omit<TaskView, "progress">;

/** An execution row for readers. Its version is UUID text here, as in the database. */
export type StoredExecutionView = Omit<ExecutionView, "namespace" | "taskCounts">;

/** How an execution ended, and in which namespace. */
export interface StoredEnd extends ExecutionEnd {
  readonly namespaceId: number;
}

/** What a page of executions is chosen by. */
export type ExecutionListQuery = Omit<ExecutionQuery, "pageSize" | "pageToken" | "version"> & {
  /** Undefined does not filter. */
  readonly versions: VersionRange | undefined;
  readonly afterExecutionId: string | undefined;
  readonly limit: number;
};

/** Reads of executions, outside of commits. */
export interface ExecutionStore {
  getExecution(namespaceId: number, executionId: string): Promise<StoredExecutionView | undefined>;
  /** Newest first, without payloads; up to `limit`, beginning after an execution id. */
  listExecutions(namespaceId: number, query: ExecutionListQuery): Promise<readonly StoredExecutionView[]>;
  /** The task rows of an execution, without payloads. */
  listTasks(namespaceId: number, executionId: string): Promise<readonly StoredTaskView[]>;
  /** How many task rows there are by status. */
  countTasks(
    namespaceId: number,
    executionId: string,
  ): Promise<Readonly<Partial<Record<TaskStatus, number>>>>;
  getTask(key: TaskKey): Promise<StoredTaskView | undefined>;
  listAttempts(key: TaskKey): Promise<readonly AttemptView[]>;
  /** Task rows that changed after a revision, and all that are with a worker or wait for one. */
  listTasksSince(
    namespaceId: number,
    executionId: string,
    revision: number,
  ): Promise<readonly StoredTaskView[]>;
  /** Of these executions, those that have ended. */
  findEnded(keys: readonly ExecutionKey[]): Promise<readonly StoredEnd[]>;
}
