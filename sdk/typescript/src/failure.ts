import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { encodePayload } from "./codec.js";
import { parseDuration } from "./duration.js";
import { ExecutionFailedError, HeadraceError, NonRetryable, RetryAfter } from "./errors.js";
import type { ExecutionFailure } from "./errors.js";
import type { Failure } from "./gen/headrace/v1/payload_pb.js";
import { FailureSchema } from "./gen/headrace/v1/payload_pb.js";

const MESSAGE_BYTES = 4 * 1024;
const STACK_BYTES = 16 * 1024;
const CAUSE_DEPTH = 5;

// What the SDK itself refuses stays refused, however often the task is tried.
const FINAL_REASONS: ReadonlySet<string> = new Set(["INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE"]);

/** The failure of what a handler threw. */
export function failureOf(thrown: unknown, depth = 0): Failure {
  if (!(thrown instanceof Error)) {
    return create(FailureSchema, {
      reason: "HANDLER_FAILED",
      message: cut(describe(thrown), MESSAGE_BYTES),
      errorType: typeof thrown,
    });
  }
  const failure = create(FailureSchema, {
    reason: "HANDLER_FAILED",
    message: cut(thrown.message, MESSAGE_BYTES),
    errorType: errorTypeOf(thrown),
    stackTrace: cut(thrown.stack ?? "", STACK_BYTES),
  });
  addFacts(failure, thrown);
  if (thrown.cause !== undefined && depth + 1 < CAUSE_DEPTH) {
    failure.cause = failureOf(thrown.cause, depth + 1);
  }
  return failure;
}

/**
 * A failure that the SDK decides on. Final: the same attempt would fail again in the same way. The
 * reason is its error type as well, because the server keeps reasons for what it decided itself.
 */
export function finalFailure(reason: string, message: string): Failure {
  return create(FailureSchema, {
    reason,
    message: cut(message, MESSAGE_BYTES),
    errorType: reason,
    nonRetryable: true,
  });
}

/** The error of an execution that did not complete. */
export function executionFailedError(
  executionId: string,
  status: ExecutionFailure["status"],
  failure: Failure | undefined,
): ExecutionFailedError {
  return new ExecutionFailedError({
    executionId,
    status,
    reason: failure?.reason ?? status,
    message: `Execution ${executionId} ended ${status}${failure === undefined ? "" : `: ${textOf(failure)}`}`,
    taskId: failure?.taskId || undefined,
    errorType: failure === undefined ? undefined : errorTypeIn(failure),
    cause: failure?.cause === undefined ? undefined : errorOf(failure.cause),
  });
}

function addFacts(failure: Failure, error: Error): void {
  if (error instanceof NonRetryable || error instanceof RetryAfter) {
    failure.nonRetryable = error instanceof NonRetryable;
    try {
      if (error instanceof RetryAfter) {
        failure.retryAfter = durationFromMs(parseDuration(error.delay, "RetryAfter.delay"));
      }
      if (error.details !== undefined) failure.details = encodePayload(error.details, "details");
    } catch (problem) {
      // The failure itself matters more than its extras; what is wrong with them is told beside it.
      failure.message = cut(`${failure.message} (${describe(problem)})`, MESSAGE_BYTES);
    }
  }
  if (error instanceof HeadraceError && FINAL_REASONS.has(error.reason)) {
    failure.reason = error.reason;
    failure.errorType = error.reason;
    failure.nonRetryable = true;
  }
}

/** The name that retry policies match on: that of the class when the error has no name of its own. */
function errorTypeOf(error: Error): string {
  return error.name === "Error" ? error.constructor.name : error.name;
}

function errorOf(failure: Failure): Error {
  const error = new Error(
    failure.message,
    failure.cause === undefined ? undefined : { cause: errorOf(failure.cause) },
  );
  error.name = failure.errorType || failure.reason;
  if (failure.stackTrace !== "") error.stack = failure.stackTrace;
  return error;
}

/** The handler's name of the error: the server wraps a handler's failure into failures of its own. */
function errorTypeIn(failure: Failure): string | undefined {
  if (failure.errorType !== "") return failure.errorType;
  return failure.cause === undefined ? undefined : errorTypeIn(failure.cause);
}

function textOf(failure: Failure): string {
  const type = errorTypeIn(failure);
  return `${failure.message === "" ? failure.reason : failure.message}${type === undefined ? "" : ` (${type})`}`;
}

function describe(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  try {
    return String(thrown);
  } catch {
    return "a value that has no text form was thrown";
  }
}

/** At most `limit` bytes of UTF-8, cut between characters. */
function cut(text: string, limit: number): string {
  if (text.length * 3 <= limit) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return text;
  let end = limit;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}
