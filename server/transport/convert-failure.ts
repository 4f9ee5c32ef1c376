import type { Failure } from "../core/failure.js";
import type { Limits } from "../core/limits.js";
import type { Failure as FailureMessage } from "../gen/headrace/v1/payload_pb.js";
import { convertPayload, optionalPayloadMessage } from "./convert-payload.js";
import { convertDuration, optionalDurationOf } from "./convert-time.js";
import { FieldCheck } from "./field-check.js";

const ERROR_TYPE_CHARS_MAX = 200;
/** Of a chain of causes, only so many are kept. */
const CAUSES_MAX = 8;

/**
 * The failure that a handler reports. Its reason is HANDLER_FAILED whatever the worker says, because the
 * other reasons are the server's own; long texts are cut and large details left out, because they are worth
 * less than the result. Throws INVALID_FIELD or PAYLOAD_TOO_LARGE.
 */
export function convertReportedFailure(
  field: string,
  message: FailureMessage,
  limits: Limits,
  causesMax = CAUSES_MAX,
): Failure {
  const check = new FieldCheck();
  const retryAfterMs = convertDuration(check, `${field}.retry_after`, message.retryAfter);
  check.finish();
  const details = convertPayload(`${field}.details`, message.details, limits);
  const { errorType, stackTrace, cause } = message;
  const detailsBytes = details?.data.length ?? 0;
  const isTooLarge = detailsBytes > limits.failureDetailsBytes;
  const text = kept(message.message, limits.failureMessageChars);
  return {
    reason: "HANDLER_FAILED",
    message: isTooLarge ? `${text}${leftOut(detailsBytes, limits)}` : text,
    ...(errorType !== "" && { errorType: kept(errorType, ERROR_TYPE_CHARS_MAX) }),
    ...(message.nonRetryable && { nonRetryable: true }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(stackTrace !== "" && { stackTrace: kept(stackTrace, limits.stackTraceChars) }),
    ...(details !== undefined && !isTooLarge && { details }),
    ...(cause !== undefined &&
      causesMax > 0 && { cause: convertReportedFailure(`${field}.cause`, cause, limits, causesMax - 1) }),
  };
}

function leftOut(bytes: number, { failureDetailsBytes }: Limits): string {
  return ` (Its details are left out: ${bytes} bytes, the limit is ${failureDetailsBytes}.)`;
}

/** The message of a failure, with its causes. */
export function failureMessage(failure: Failure): FailureMessage {
  return {
    $typeName: "headrace.v1.Failure",
    reason: failure.reason,
    message: failure.message,
    errorType: failure.errorType ?? "",
    nonRetryable: failure.nonRetryable ?? false,
    retryAfter: optionalDurationOf(failure.retryAfterMs),
    stackTrace: failure.stackTrace ?? "",
    details: optionalPayloadMessage(failure.details),
    taskId: failure.taskId ?? "",
    cause: optionalFailureMessage(failure.cause),
  };
}

/** As failureMessage; undefined stays unset. */
export function optionalFailureMessage(failure: Failure | undefined): FailureMessage | undefined {
  return failure === undefined ? undefined : failureMessage(failure);
}

/** At most so many characters, and no NUL, which no database text may have. */
export function kept(text: string, maxChars: number): string {
  const clean = text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text;
  // Cutting may halve a surrogate pair; the detour over UTF-8 replaces such a half.
  return clean.length <= maxChars ? clean : Buffer.from(clean.slice(0, maxChars)).toString();
}
