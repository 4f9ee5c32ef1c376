import type { MessageInitShape } from "@bufbuild/protobuf";
import { HeadraceError, type Violation } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { RetrySpec, TaskSpec, TimeoutsSpec, WorkflowSpec } from "../core/workflow-spec.js";
import type { StoredWorkflow, WorkflowSummary } from "../engine/api.js";
import {
  Backoff,
  type RetryPolicySchema,
  type TaskSpecSchema,
  type TimeoutsSchema,
  type WorkflowSchema,
  type WorkflowSpec as WorkflowMessage,
  type WorkflowSpecSchema,
} from "../gen/headrace/v1/workflow_pb.js";
import type { WorkflowSummarySchema } from "../gen/headrace/v1/workflow_service_pb.js";
import { payloadMessage } from "./convert-payload.js";
import { convertTask } from "./convert-task.js";
import { convertDuration, durationOf, timestampOf } from "./convert-time.js";
import { FieldCheck } from "./field-check.js";
import { refuseUnsupportedWorkflow } from "./unsupported-fields.js";

/** A workflow as its author wrote it, as far as its message is right, and what is wrong with the message. */
export interface ConvertedWorkflow {
  readonly spec: WorkflowSpec;
  /** Paths begin inside the spec, as in "tasks[3].retry", like those of the problems that validation finds. */
  readonly refused: readonly Violation[];
}

/**
 * Reads a workflow. What belongs to the core to judge passes as it is; what is refused is left out of
 * the spec, so that the rest can be validated. Throws INVALID_FIELD when there is no message.
 */
export function convertWorkflow(message: WorkflowMessage | undefined, limits: Limits): ConvertedWorkflow {
  if (message === undefined) {
    throw new HeadraceError("INVALID_FIELD", "spec is required.", { field: "spec" });
  }
  const check = new FieldCheck();
  refuseUnsupportedWorkflow(check, message);
  const { name, description, inputSchema, output, labels, tasks } = message;
  const deadlineMs = convertDuration(check, "deadline", message.deadline);
  const isTooMany = tasks.length > limits.tasksPerWorkflow;
  const spec: WorkflowSpec = {
    name,
    ...(description !== "" && { description }),
    ...(inputSchema !== "" && { inputSchema }),
    // Validation counts tasks first; nobody reads a million that are refused for their number.
    tasks: isTooMany
      ? tasks.map(({ id }) => ({ id }))
      : tasks.map((task, index) => convertTask(check, `tasks[${index}]`, task, limits)),
    ...(output !== "" && { output }),
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
  return { spec, refused: check.violations };
}

/** A stored version as clients see it. */
export function workflowMessage(stored: StoredWorkflow): MessageInitShape<typeof WorkflowSchema> {
  return {
    name: stored.name,
    version: stored.version,
    spec: specMessage(stored.spec),
    createdAt: timestampOf(stored.createdAtMs),
    latest: stored.latest,
  };
}

/** A stored version without its tasks, as clients see it. */
export function workflowSummaryMessage(
  summary: WorkflowSummary,
): MessageInitShape<typeof WorkflowSummarySchema> {
  const { createdAtMs, ...same } = summary;
  return { ...same, createdAt: timestampOf(createdAtMs) };
}

function specMessage(spec: WorkflowSpec): MessageInitShape<typeof WorkflowSpecSchema> {
  const { deadlineMs, tasks, ...same } = spec;
  return {
    ...same,
    tasks: tasks.map(taskMessage),
    ...(deadlineMs !== undefined && { deadline: durationOf(deadlineMs) }),
  };
}

function taskMessage(task: TaskSpec): MessageInitShape<typeof TaskSpecSchema> {
  const { dependsOn, input, retry, timeouts, ...same } = task;
  return {
    ...same,
    ...(dependsOn !== undefined && { dependsOn: [...dependsOn] }),
    ...(input !== undefined && { input: inputMessage(input) }),
    ...(retry !== undefined && { retry: retryMessage(retry) }),
    ...(timeouts !== undefined && { timeouts: timeoutsMessage(timeouts) }),
  };
}

function inputMessage(
  input: NonNullable<TaskSpec["input"]>,
): MessageInitShape<typeof TaskSpecSchema>["input"] {
  switch (input.kind) {
    case "expression":
      return { source: { case: "expression", value: input.expression } };
    case "fields":
      return { source: { case: "fields", value: { fields: { ...input.fields } } } };
    case "literal":
      return { source: { case: "literal", value: payloadMessage(input.payload) } };
  }
}

function retryMessage(retry: RetrySpec): MessageInitShape<typeof RetryPolicySchema> {
  const { backoff, initialIntervalMs, maxIntervalMs, nonRetryableErrorTypes, ...same } = retry;
  return {
    ...same,
    ...(backoff !== undefined && { backoff: Backoff[backoff] }),
    ...(initialIntervalMs !== undefined && { initialInterval: durationOf(initialIntervalMs) }),
    ...(maxIntervalMs !== undefined && { maxInterval: durationOf(maxIntervalMs) }),
    ...(nonRetryableErrorTypes !== undefined && { nonRetryableErrorTypes: [...nonRetryableErrorTypes] }),
  };
}

function timeoutsMessage(timeouts: TimeoutsSpec): MessageInitShape<typeof TimeoutsSchema> {
  const { queueMs, attemptMs, heartbeatMs, totalMs } = timeouts;
  return {
    ...(queueMs !== undefined && { queue: durationOf(queueMs) }),
    ...(attemptMs !== undefined && { attempt: durationOf(attemptMs) }),
    ...(heartbeatMs !== undefined && { heartbeat: durationOf(heartbeatMs) }),
    ...(totalMs !== undefined && { total: durationOf(totalMs) }),
  };
}
