import type { Limits } from "../core/limits.js";
import type { Backoff, InputMapping, RetrySpec, TaskSpec, TimeoutsSpec } from "../core/workflow-spec.js";
import {
  Backoff as BackoffEnum,
  type InputMapping as InputMappingMessage,
  type RetryPolicy,
  type TaskSpec as TaskMessage,
  type Timeouts,
} from "../gen/headrace/v1/workflow_pb.js";
import { convertPayload } from "./convert-payload.js";
import { convertDuration } from "./convert-time.js";
import type { FieldCheck } from "./field-check.js";
import { refuseUnsupportedTask } from "./unsupported-fields.js";

const BACKOFF_WORDS: Readonly<Record<number, Backoff | "">> = {
  [BackoffEnum.UNSPECIFIED]: "",
  [BackoffEnum.FIXED]: "FIXED",
  [BackoffEnum.LINEAR]: "LINEAR",
  [BackoffEnum.EXPONENTIAL]: "EXPONENTIAL",
};

/**
 * A task as its author wrote it, without what was left out. The rules of the graph, of names and of
 * numbers are the core's; this notes what the message itself gets wrong, and leaves it out.
 */
export function convertTask(check: FieldCheck, path: string, message: TaskMessage, limits: Limits): TaskSpec {
  refuseUnsupportedTask(check, path, message);
  const { id, handler, queue, dependsOn, description, annotations, priority } = message;
  const input = convertInput(check, `${path}.input`, message.input, limits);
  const retry = convertRetry(check, `${path}.retry`, message.retry);
  const timeouts = convertTimeouts(check, `${path}.timeouts`, message.timeouts);
  return {
    id,
    ...(handler !== "" && { handler }),
    ...(queue !== "" && { queue }),
    ...(dependsOn.length > 0 && { dependsOn }),
    ...(input !== undefined && { input }),
    ...(retry !== undefined && { retry }),
    ...(timeouts !== undefined && { timeouts }),
    ...(priority !== 0 && { priority }),
    ...(description !== "" && { description }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
}

function convertInput(
  check: FieldCheck,
  path: string,
  message: InputMappingMessage | undefined,
  limits: Limits,
): InputMapping | undefined {
  if (message === undefined) return undefined;
  const { source } = message;
  switch (source.case) {
    case "expression":
      return { kind: "expression", expression: source.value };
    case "fields":
      return { kind: "fields", fields: source.value.fields };
    case "literal": {
      const payload = check.attempt(() => convertPayload(`${path}.literal`, source.value, limits));
      return payload && { kind: "literal", payload };
    }
    case undefined:
      check.invalid(path, `${path} needs one of expression, fields or literal.`);
      return undefined;
  }
}

function convertRetry(
  check: FieldCheck,
  path: string,
  message: RetryPolicy | undefined,
): RetrySpec | undefined {
  if (message === undefined) return undefined;
  const { maxAttempts, factor, jitter, maxCrashes, nonRetryableErrorTypes } = message;
  const initialMs = convertDuration(check, `${path}.initial_interval`, message.initialInterval);
  const maxMs = convertDuration(check, `${path}.max_interval`, message.maxInterval);
  // The core compares the two. In place of a refused one, a default would give it something to refuse.
  const initialIntervalMs = message.initialInterval === undefined ? undefined : (initialMs ?? maxMs);
  const maxIntervalMs = message.maxInterval === undefined ? undefined : (maxMs ?? initialMs);
  const backoff = check.enumWord(`${path}.backoff`, message.backoff, BACKOFF_WORDS);
  return unlessEmpty({
    ...(maxAttempts !== undefined && { maxAttempts }),
    ...(initialIntervalMs !== undefined && { initialIntervalMs }),
    ...(backoff !== undefined && backoff !== "" && { backoff }),
    ...(factor !== undefined && { factor }),
    ...(maxIntervalMs !== undefined && { maxIntervalMs }),
    ...(jitter !== undefined && { jitter }),
    ...(nonRetryableErrorTypes.length > 0 && { nonRetryableErrorTypes }),
    ...(maxCrashes !== undefined && { maxCrashes }),
  });
}

function convertTimeouts(
  check: FieldCheck,
  path: string,
  message: Timeouts | undefined,
): TimeoutsSpec | undefined {
  if (message === undefined) return undefined;
  const queueMs = convertDuration(check, `${path}.queue`, message.queue);
  const attemptMs = convertDuration(check, `${path}.attempt`, message.attempt);
  const heartbeatMs = convertDuration(check, `${path}.heartbeat`, message.heartbeat);
  const totalMs = convertDuration(check, `${path}.total`, message.total);
  return unlessEmpty({
    ...(queueMs !== undefined && { queueMs }),
    ...(attemptMs !== undefined && { attemptMs }),
    ...(heartbeatMs !== undefined && { heartbeatMs }),
    ...(totalMs !== undefined && { totalMs }),
  });
}

/** A policy in which nothing is set means the same as none, and must give the same version. */
function unlessEmpty<T extends object>(policy: T): T | undefined {
  return Object.keys(policy).length === 0 ? undefined : policy;
}
