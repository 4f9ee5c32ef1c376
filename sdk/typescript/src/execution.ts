import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Timestamp } from "@bufbuild/protobuf/wkt";

import { decodePayload } from "./codec.js";
import type { ExecutionFailedError } from "./errors.js";
import { executionFailedError } from "./failure.js";
import type { Execution as ExecutionMessage, Task as TaskMessage } from "./gen/headrace/v1/execution_pb.js";
import {
  ExecutionStatus as StatusNumber,
  TaskStatus as TaskStatusNumber,
} from "./gen/headrace/v1/execution_pb.js";
import type { Failure, Payload } from "./gen/headrace/v1/payload_pb.js";

export type ExecutionStatus = Exclude<keyof typeof StatusNumber, "UNSPECIFIED">;
export type TaskStatus = Exclude<keyof typeof TaskStatusNumber, "UNSPECIFIED">;

/** One run of a workflow version. */
export interface Execution {
  readonly id: string;
  readonly namespace: string;
  readonly workflow: string;
  readonly version: string;
  readonly status: ExecutionStatus;
  /** Grows with every change. */
  readonly revision: bigint;
  /** Undefined when payloads were left out. */
  readonly input: unknown;
  /** Set when COMPLETED. */
  readonly output: unknown;
  /** Set when FAILED, CANCELLED or TIMED_OUT. */
  readonly error: ExecutionFailedError | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Added to the priority of each task. */
  readonly priority: number;
  readonly traceId: string;
  readonly createdAt: Date | undefined;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  readonly deadlineAt: Date | undefined;
  readonly cancelRequestedAt: Date | undefined;
  /** Tasks of the plan by status. */
  readonly taskCounts: Readonly<Record<string, number>>;
}

/** A task of an execution, as `watch` tells it. */
export interface TaskState {
  readonly id: string;
  readonly mapIndex: number;
  readonly status: TaskStatus;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly worker: string;
  readonly progress: { readonly done: number; readonly total: number; readonly message: string } | undefined;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
}

/** An execution as programs read it. Throws INVALID_PAYLOAD when a payload cannot be read. */
export function executionOf(message: ExecutionMessage): Execution {
  const status = statusName(message.status);
  return {
    id: message.executionId,
    namespace: message.namespace,
    workflow: message.workflow,
    version: message.version,
    status,
    revision: message.revision,
    input: decodePayload(message.input),
    output: decodePayload(message.output),
    error: isFailed(status) ? executionFailedError(message.executionId, status, message.failure) : undefined,
    labels: message.labels,
    priority: message.priority,
    traceId: message.traceId,
    createdAt: dateOf(message.createdAt),
    startedAt: dateOf(message.startedAt),
    finishedAt: dateOf(message.finishedAt),
    deadlineAt: dateOf(message.deadlineAt),
    cancelRequestedAt: dateOf(message.cancelRequestedAt),
    taskCounts: message.taskCounts,
  };
}

/** A task as programs read it. */
export function taskStateOf(message: TaskMessage): TaskState {
  return {
    id: message.taskId,
    mapIndex: message.mapIndex,
    status: nameOf(TaskStatusNumber, message.status) as TaskStatus,
    attempt: message.attempt,
    maxAttempts: message.maxAttempts,
    worker: message.worker,
    progress: progressOf(message.progress),
    startedAt: dateOf(message.startedAt),
    finishedAt: dateOf(message.finishedAt),
  };
}

/** Without what belongs to the message alone, such as the name of its type. */
function progressOf(progress: TaskMessage["progress"]): TaskState["progress"] {
  if (progress === undefined) return undefined;
  return { done: progress.done, total: progress.total, message: progress.message };
}

/** How an execution ended. */
export interface ExecutionEnd {
  readonly executionId: string;
  readonly status: StatusNumber;
  readonly output?: Payload | undefined;
  readonly failure?: Failure | undefined;
}

/** The output of an execution that has ended. Throws ExecutionFailedError when it did not complete. */
export function resultOf(end: ExecutionEnd): unknown {
  const status = statusName(end.status);
  if (isFailed(status)) throw executionFailedError(end.executionId, status, end.failure);
  return decodePayload(end.output);
}

function isFailed(status: ExecutionStatus): status is "FAILED" | "CANCELLED" | "TIMED_OUT" {
  return status === "FAILED" || status === "CANCELLED" || status === "TIMED_OUT";
}

function statusName(status: StatusNumber): ExecutionStatus {
  return nameOf(StatusNumber, status) as ExecutionStatus;
}

/** A status that a newer server has and this version does not know keeps its number as its name. */
function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(names).find((name) => names[name] === value) ?? String(value);
}

function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : timestampDate(timestamp);
}
