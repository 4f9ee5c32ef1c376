import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { StartRequest } from "../engine/api.js";
import { CacheMode } from "../gen/headrace/v1/execution_pb.js";
import type { ExecutionStart } from "../gen/headrace/v1/execution_service_pb.js";
import { checkLabels } from "./check-labels.js";
import { optionalUuidV7 } from "./convert-id.js";
import { convertPayload } from "./convert-payload.js";
import { convertDuration } from "./convert-time.js";
import { FieldCheck } from "./field-check.js";

const PRIORITY_MAX = 100;
const VERSION_CHARS_MAX = 36;
const TRACESTATE_CHARS_MAX = 512;
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * What to start. `field` is the path of the message in its request. Throws INVALID_FIELD with everything
 * that is wrong, PAYLOAD_TOO_LARGE, or NOT_SUPPORTED_YET.
 */
export function convertStart(
  field: string,
  message: ExecutionStart | undefined,
  limits: Limits,
): StartRequest {
  if (message === undefined) throw new HeadraceError("INVALID_FIELD", `${field} is required.`, { field });
  const check = new FieldCheck();
  const { workflow, version, idempotencyKey, labels, priority, traceparent, tracestate } = message;
  check.requiredText(`${field}.workflow`, workflow, limits.nameChars);
  check.text(`${field}.version`, version, VERSION_CHARS_MAX);
  check.text(`${field}.idempotency_key`, idempotencyKey, limits.idempotencyKeyChars);
  check.range(`${field}.priority`, priority, -PRIORITY_MAX, PRIORITY_MAX);
  checkLabels(check, `${field}.labels`, labels, limits);
  checkTraceContext(check, field, traceparent, tracestate);
  refuseUnsupported(check, field, message);
  const executionId = optionalUuidV7(check, `${field}.execution_id`, message.executionId);
  const deadlineMs = convertDuration(check, `${field}.deadline`, message.deadline);
  check.finish();
  const input = convertPayload(`${field}.input`, message.input, limits);
  return {
    workflow,
    version,
    input,
    executionId,
    idempotencyKey,
    labels,
    deadlineMs,
    priority,
    traceparent,
    tracestate,
  };
}

function checkTraceContext(check: FieldCheck, field: string, traceparent: string, tracestate: string): void {
  if (traceparent !== "" && !TRACEPARENT.test(traceparent)) {
    const actual = traceparent.slice(0, 100);
    check.invalid(`${field}.traceparent`, `${field}.traceparent is no W3C trace context.`, { actual });
  }
  check.text(`${field}.tracestate`, tracestate, TRACESTATE_CHARS_MAX);
}

const CACHE_MODE_WORDS: Readonly<Record<number, string>> = {
  [CacheMode.UNSPECIFIED]: "USE",
  [CacheMode.USE]: "USE",
  [CacheMode.REFRESH]: "REFRESH",
  [CacheMode.BYPASS]: "BYPASS",
};

function refuseUnsupported(check: FieldCheck, field: string, message: ExecutionStart): void {
  if (message.startAt !== undefined) {
    check.unsupported(`${field}.start_at`, `${field}.start_at is not supported yet.`);
  }
  const mode = check.enumWord(`${field}.cache_mode`, message.cacheMode, CACHE_MODE_WORDS);
  if (mode !== undefined && mode !== "USE") {
    check.unsupported(
      `${field}.cache_mode`,
      `${field}.cache_mode ${mode} is not supported yet; only USE is.`,
    );
  }
}
