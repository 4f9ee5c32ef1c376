export { Client } from "./client.js";
export type { Servable, StoredWorkflow, WorkflowLike } from "./client.js";
export { connect } from "./connect.js";
export { DEFAULT_ADDRESS } from "./connect-options.js";
export type { ConnectOptions, TlsOptions } from "./connect-options.js";
export { currentContext } from "./context.js";
export type { TaskContext } from "./context.js";
export type { DurationLike } from "./duration.js";
export {
  CancelledError,
  ExecutionFailedError,
  HeadraceError,
  NonRetryable,
  RetryAfter,
  StartManyError,
} from "./errors.js";
export type { ErrorFacts, ExecutionFailure, Violation } from "./errors.js";
export { ExecutionHandle } from "./execution-handle.js";
export type { Execution, ExecutionStatus, TaskState, TaskStatus } from "./execution.js";
export type {
  CancelOptions,
  ExecutionUpdate,
  ListOptions,
  ResultOptions,
  WatchOptions,
} from "./executions.js";
export type { Input, OutputValue, Ref } from "./ref.js";
export type { RetryOptions } from "./retry.js";
export { SDK_VERSION } from "./sdk-version.js";
export type { RunOptions, StartManyOptions, StartOptions } from "./start-options.js";
export { external, task } from "./task.js";
export type { Task } from "./task.js";
export type { Handler, NodeOptions, TaskDefinition, TaskOptions, TimeoutOptions } from "./task-options.js";
export { Worker } from "./worker.js";
export type { ServeOptions } from "./worker.js";
export { workflow } from "./workflow.js";
export type { Workflow, WorkflowDefinition, WorkflowOptions } from "./workflow.js";
