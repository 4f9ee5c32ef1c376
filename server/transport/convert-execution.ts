import type { MessageInitShape } from "@bufbuild/protobuf";
import { HeadraceError } from "../core/errors.js";
import type {
  AttemptView,
  ExecutionEnd,
  ExecutionView,
  ProgressValue,
  StartAnswer,
  TaskView,
  WaitReason,
} from "../engine/api.js";
import type {
  AttemptSchema,
  ExecutionSchema,
  Progress,
  TaskSchema,
} from "../gen/headrace/v1/execution_pb.js";
import type {
  StartError,
  StartResult,
  StreamedEnded,
  WaitReasonSchema,
} from "../gen/headrace/v1/execution_service_pb.js";
import { failureMessage, optionalFailureMessage } from "./convert-failure.js";
import { optionalPayloadMessage } from "./convert-payload.js";
import { executionStatusNumber, taskStatusNumber } from "./convert-status.js";
import { optionalDurationOf, optionalTimestampOf, timestampOf } from "./convert-time.js";
import { GRPC_CODES, statusText } from "./status.js";

/** An execution as clients see it. */
export function executionMessage(view: ExecutionView): MessageInitShape<typeof ExecutionSchema> {
  return {
    executionId: view.executionId,
    namespace: view.namespace,
    workflow: view.workflow,
    version: view.version,
    status: executionStatusNumber(view.status),
    revision: BigInt(view.revision),
    input: optionalPayloadMessage(view.input),
    output: optionalPayloadMessage(view.output),
    failure: optionalFailureMessage(view.failure),
    labels: { ...view.labels },
    idempotencyKey: view.idempotencyKey,
    traceId: view.traceId,
    createdAt: timestampOf(view.createdAtMs),
    startedAt: optionalTimestampOf(view.startedAtMs),
    finishedAt: optionalTimestampOf(view.finishedAtMs),
    deadlineAt: optionalTimestampOf(view.deadlineAtMs),
    cancelRequestedAt: optionalTimestampOf(view.cancelRequestedAtMs),
    cancelReason: view.cancelReason,
    priority: view.priority,
    taskCounts: { ...view.taskCounts },
  };
}

/** The execution without its input and output. */
export function withoutPayloads(view: ExecutionView): ExecutionView {
  return { ...view, input: undefined, output: undefined };
}

/** A task as clients see it. */
export function taskMessage(view: TaskView): MessageInitShape<typeof TaskSchema> {
  return {
    executionId: view.executionId,
    taskId: view.taskId,
    mapIndex: view.mapIndex,
    status: taskStatusNumber(view.status),
    handler: view.handler,
    queue: view.queue,
    attempt: view.attempt,
    maxAttempts: view.maxAttempts,
    crashes: view.crashes,
    lease: BigInt(view.lease),
    worker: view.worker,
    sessionId: view.sessionId,
    input: optionalPayloadMessage(view.input),
    output: optionalPayloadMessage(view.output),
    failure: optionalFailureMessage(view.failure),
    firstReadyAt: optionalTimestampOf(view.firstReadyAtMs),
    readyAt: optionalTimestampOf(view.readyAtMs),
    startedAt: optionalTimestampOf(view.startedAtMs),
    finishedAt: optionalTimestampOf(view.finishedAtMs),
    dueAt: optionalTimestampOf(view.dueAtMs),
    progress: view.progress === undefined ? undefined : progressMessage(view.progress),
    priority: view.priority,
  };
}

/** A superseded attempt as clients see it. */
export function attemptMessage(view: AttemptView): MessageInitShape<typeof AttemptSchema> {
  return {
    attempt: view.attempt,
    lease: BigInt(view.lease),
    worker: view.worker,
    readyAt: optionalTimestampOf(view.readyAtMs),
    startedAt: optionalTimestampOf(view.startedAtMs),
    finishedAt: timestampOf(view.finishedAtMs),
    failure: failureMessage(view.failure),
    retryDelay: optionalDurationOf(view.retryDelayMs),
  };
}

/** Why a task is not running, as clients see it. */
export function waitReasonMessage(reason: WaitReason): MessageInitShape<typeof WaitReasonSchema> {
  const { status, untilMs, waitsFor, ...same } = reason;
  return {
    ...same,
    status: taskStatusNumber(status),
    until: optionalTimestampOf(untilMs),
    waitsFor: [...waitsFor],
  };
}

/** How the start of one execution went. Complete messages, because streams send thousands a second. */
export function startedResult(answer: StartAnswer): StartResult {
  const { executionId, created, version, traceId } = answer;
  return { $typeName: "headrace.v1.StartResult", executionId, created, version, traceId, error: undefined };
}

/** A refused start. */
export function refusedResult(error: HeadraceError): StartResult {
  return {
    $typeName: "headrace.v1.StartResult",
    executionId: "",
    created: false,
    version: "",
    traceId: "",
    error: startErrorMessage(error),
  };
}

function startErrorMessage(error: HeadraceError): StartError {
  return {
    $typeName: "headrace.v1.StartError",
    code: GRPC_CODES[error.code],
    reason: error.reason,
    message: statusText(error),
    field: error.facts.field ?? error.facts.violations?.[0]?.field ?? "",
  };
}

/** The end of an execution on the stream that started it. */
export function endedMessage(tag: bigint, end: ExecutionEnd): StreamedEnded {
  return {
    $typeName: "headrace.v1.StreamedEnded",
    tag,
    executionId: end.executionId,
    status: executionStatusNumber(end.status),
    output: optionalPayloadMessage(end.output),
    failure: optionalFailureMessage(end.failure),
  };
}

function progressMessage(progress: ProgressValue): Progress {
  return { $typeName: "headrace.v1.Progress", ...progress };
}
