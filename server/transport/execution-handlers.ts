import type { Limits } from "../core/limits.js";
import type { Engine, ExecutionApi } from "../engine/api.js";
import type { Log } from "../engine/log.js";
import type {
  CancelExecutionRequest,
  ExecutionService,
  ListExecutionsRequest,
  ListTasksRequest,
} from "../gen/headrace/v1/execution_service_pb.js";
import { checkLabels } from "./check-labels.js";
import {
  attemptMessage,
  executionMessage,
  taskMessage,
  waitReasonMessage,
  withoutPayloads,
} from "./convert-execution.js";
import { namespaceOf, requiredUuid } from "./convert-id.js";
import { convertExecutionStatuses, convertTaskStatuses, executionStatusNumber } from "./convert-status.js";
import { convertDurationUpTo, convertTimestamp } from "./convert-time.js";
import { ExecutionStream, type ExecutionStreamOptions } from "./execution-stream.js";
import { FieldCheck } from "./field-check.js";
import { pageTokenOf, unsupportedCall } from "./request-rules.js";
import type { Impl } from "./service-impl.js";
import { startHandlers } from "./start-handlers.js";
import { waitHandlers } from "./wait-handlers.js";

const EXECUTIONS_PAGE_DEFAULT = 50;
const TASKS_PAGE_DEFAULT = 200;
const CANCEL_GRACE_DEFAULT_MS = 30_000;
const CANCEL_GRACE_MAX_MS = 3_600_000;
const CANCEL_REASON_CHARS_MAX = 1_000;
const VERSION_CHARS_MAX = 36;

/** What the handlers of executions need. */
export interface ExecutionHandlerOptions extends ExecutionStreamOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly log: Log;
}

/** ExecutionService on the engine. */
export function executionHandlers(options: ExecutionHandlerOptions): Impl<typeof ExecutionService> {
  const { engine, limits } = options;
  const { executions } = engine;
  return {
    ...startHandlers(executions, limits),
    ...waitHandlers(executions),
    ...readHandlers(executions, limits),
    streamExecutions: (call, context) => new ExecutionStream(options, call, context),

    async cancelExecution(request) {
      const { executionId, reason, graceMs } = convertCancel(request);
      const { accepted, status } = await executions.cancel(namespaceOf(request), executionId, {
        reason,
        graceMs,
      });
      return { accepted, status: executionStatusNumber(status) };
    },

    signalExecution: unsupportedCall("SignalExecution"),
    pauseExecution: unsupportedCall("PauseExecution"),
    resumeExecution: unsupportedCall("ResumeExecution"),
    retryExecution: unsupportedCall("RetryExecution"),
  };
}

type ReadMethods = "getExecution" | "listExecutions" | "listTasks" | "getTask" | "explainExecution";

function readHandlers(
  executions: ExecutionApi,
  limits: Limits,
): Pick<Impl<typeof ExecutionService>, ReadMethods> {
  return {
    async getExecution(request) {
      const view = await executions.get(namespaceOf(request), executionIdOf(request));
      return { execution: executionMessage(request.withoutPayloads ? withoutPayloads(view) : view) };
    },

    async listExecutions(request) {
      const page = await executions.list(namespaceOf(request), convertExecutionQuery(request, limits));
      const found = page.items.map((view) => executionMessage(withoutPayloads(view)));
      return { executions: found, nextPageToken: page.nextPageToken };
    },

    async listTasks(request) {
      const page = await executions.listTasks(namespaceOf(request), convertTaskQuery(request, limits));
      const tasks = page.items.map((view) => taskMessage({ ...view, input: undefined, output: undefined }));
      return { tasks, nextPageToken: page.nextPageToken };
    },

    async getTask(request) {
      const check = new FieldCheck();
      const executionId = requiredUuid(check, "execution_id", request.executionId);
      const taskId = check.requiredText("task_id", request.taskId, limits.nameChars);
      const mapIndex = check.range("map_index", request.mapIndex ?? -1, -1, 2 ** 31 - 1);
      check.finish();
      const { task, attempts } = await executions.getTask(
        namespaceOf(request),
        executionId,
        taskId,
        mapIndex,
      );
      return { task: taskMessage(task), attempts: attempts.map(attemptMessage) };
    },

    async explainExecution(request) {
      const check = new FieldCheck();
      const executionId = requiredUuid(check, "execution_id", request.executionId);
      const taskId = check.text("task_id", request.taskId, limits.nameChars);
      check.finish();
      const { status, reasons } = await executions.explain(namespaceOf(request), executionId, taskId);
      return { status: executionStatusNumber(status), reasons: reasons.map(waitReasonMessage) };
    },
  };
}

/** The execution that a request names. Throws INVALID_FIELD. */
export function executionIdOf(request: { readonly executionId: string }): string {
  const check = new FieldCheck();
  const executionId = requiredUuid(check, "execution_id", request.executionId);
  check.finish();
  return executionId;
}

function convertExecutionQuery(
  request: ListExecutionsRequest,
  limits: Limits,
): Parameters<ExecutionApi["list"]>[1] {
  const check = new FieldCheck();
  const { filter } = request;
  checkLabels(check, "filter.labels", filter?.labels ?? {}, limits);
  const query = {
    workflow: check.text("filter.workflow", filter?.workflow ?? "", limits.nameChars),
    version: check.text("filter.version", filter?.version ?? "", VERSION_CHARS_MAX),
    statuses: convertExecutionStatuses(check, "filter.statuses", filter?.statuses ?? []),
    labels: filter?.labels ?? {},
    createdAfterMs: convertTimestamp(check, "filter.created_after", filter?.createdAfter),
    createdBeforeMs: convertTimestamp(check, "filter.created_before", filter?.createdBefore),
    pageSize: check.pageSize(request.pageSize, EXECUTIONS_PAGE_DEFAULT, limits.pageSize),
    pageToken: pageTokenOf(check, request),
  };
  check.finish();
  return query;
}

function convertTaskQuery(
  request: ListTasksRequest,
  limits: Limits,
): Parameters<ExecutionApi["listTasks"]>[1] {
  const check = new FieldCheck();
  const query = {
    executionId: requiredUuid(check, "execution_id", request.executionId),
    statuses: convertTaskStatuses(check, "statuses", request.statuses),
    pageSize: check.pageSize(request.pageSize, TASKS_PAGE_DEFAULT, limits.pageSize),
    pageToken: pageTokenOf(check, request),
  };
  check.finish();
  return query;
}

function convertCancel(request: CancelExecutionRequest): {
  executionId: string;
  reason: string;
  graceMs: number;
} {
  const check = new FieldCheck();
  const executionId = requiredUuid(check, "execution_id", request.executionId);
  const reason = check.text("reason", request.reason, CANCEL_REASON_CHARS_MAX);
  const graceMs =
    convertDurationUpTo(check, "grace", request.grace, CANCEL_GRACE_MAX_MS) ?? CANCEL_GRACE_DEFAULT_MS;
  check.finish();
  return { executionId, reason, graceMs };
}
