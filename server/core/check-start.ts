import { DURATION_MAX_MS } from "./check-number.js";
import { labelProblems } from "./check-labels.js";
import { PRIORITY_MAX } from "./check-task.js";
import { HeadraceError, type ErrorFacts, type Reason } from "./errors.js";
import type { Limits } from "./limits.js";
import { textProblem, workflowNameProblem } from "./names.js";
import type { Payload } from "./payload.js";
import { payloadProblem } from "./payload-problem.js";
import { parseTraceparent, type TraceParent } from "./traceparent.js";

/** What a client says about an execution to start, as far as it can be checked without a plan. */
export interface StartFields {
  readonly workflow: string;
  /** Empty: the latest. */
  readonly version: string;
  readonly input: Payload | undefined;
  /** Empty: the server chooses. */
  readonly executionId: string;
  /** Empty: none. */
  readonly idempotencyKey: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly deadlineMs: number | undefined;
  readonly priority: number;
  readonly traceparent: string;
}

/** What checking a start finds out beside its being right. */
export interface CheckedStart {
  /** In lower case; empty when the server chooses. */
  readonly executionId: string;
  /** Undefined when there is none or it is malformed, which W3C tells servers to ignore. */
  readonly traceParent: TraceParent | undefined;
}

interface StartProblem {
  readonly field: string;
  readonly message: string;
  readonly limit: number | string;
  readonly actual: number | string;
  readonly reason?: Reason;
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
const VERSION = /^[0-9a-f-]{6,36}$/i;
const ACTUAL_CHARS_MAX = 100;

/**
 * Checks the fields of a start. Throws HeadraceError INVALID_FIELD with a violation for each wrong
 * field, or PAYLOAD_TOO_LARGE when the size of the input is the first of them.
 */
export function checkStart(start: StartFields, limits: Limits): CheckedStart {
  const problems = [
    ...nameProblems(start, limits),
    ...inputProblems(start.input, limits),
    ...idProblems(start, limits),
    ...labelFieldProblems(start.labels, limits),
    ...numberProblems(start),
  ];
  const [first] = problems;
  if (first !== undefined) throw refusal(first, problems);
  return { executionId: start.executionId.toLowerCase(), traceParent: parseTraceparent(start.traceparent) };
}

function nameProblems({ workflow, version }: StartFields, limits: Limits): readonly StartProblem[] {
  const problems: StartProblem[] = [];
  const message = workflowNameProblem(workflow, limits);
  if (message !== undefined) {
    problems.push({ field: "workflow", message, limit: limits.nameChars, actual: shorten(workflow) });
  }
  if (version !== "" && !VERSION.test(version)) {
    const hint =
      "The version must be 6 to 32 hexadecimal digits, with or without dashes, or empty for the latest.";
    problems.push({ field: "version", message: hint, limit: VERSION.source, actual: shorten(version) });
  }
  return problems;
}

function inputProblems(input: Payload | undefined, limits: Limits): readonly StartProblem[] {
  const problem = input && payloadProblem(input, limits);
  if (problem === undefined) return [];
  const { message, limit, actual } = problem;
  if (problem.reason === "PAYLOAD_TOO_LARGE") {
    return [{ field: "input", message, limit, actual, reason: "PAYLOAD_TOO_LARGE" }];
  }
  return [{ field: "input.encoding", message, limit, actual }];
}

function idProblems({ executionId, idempotencyKey }: StartFields, limits: Limits): readonly StartProblem[] {
  const problems: StartProblem[] = [];
  if (executionId !== "" && !UUID_V7.test(executionId)) {
    const message =
      "The execution id must be a UUIDv7 in its 36-character form, or empty for one chosen by the server.";
    problems.push({ field: "execution_id", message, limit: "UUIDv7", actual: shorten(executionId) });
  }
  const limit = limits.idempotencyKeyChars;
  const message = textProblem("idempotency key", idempotencyKey, limit);
  if (message !== undefined) {
    problems.push({ field: "idempotency_key", message, limit, actual: idempotencyKey.length });
  }
  return problems;
}

function labelFieldProblems(labels: StartFields["labels"], limits: Limits): readonly StartProblem[] {
  return labelProblems("labels", labels, limits).map(({ path, message, limit, actual }) => ({
    field: path,
    message,
    limit,
    actual,
  }));
}

function numberProblems({ deadlineMs, priority }: StartFields): readonly StartProblem[] {
  const problems: StartProblem[] = [];
  const isDeadline = deadlineMs === undefined || (deadlineMs > 0 && deadlineMs <= DURATION_MAX_MS);
  if (!isDeadline) {
    const message = `The deadline is ${deadlineMs} ms; it must be more than 0 and at most ${DURATION_MAX_MS} ms (ten years), or unset.`;
    problems.push({ field: "deadline", message, limit: DURATION_MAX_MS, actual: deadlineMs });
  }
  if (!Number.isInteger(priority) || Math.abs(priority) > PRIORITY_MAX) {
    const message = `The priority is ${priority}; it must be a whole number from -${PRIORITY_MAX} to ${PRIORITY_MAX}.`;
    problems.push({ field: "priority", message, limit: PRIORITY_MAX, actual: priority });
  }
  return problems;
}

function refusal(first: StartProblem, problems: readonly StartProblem[]): HeadraceError {
  const { field, message, limit, actual, reason = "INVALID_FIELD" } = first;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  const violations = problems.map((problem) => ({
    field: problem.field,
    reason: problem.reason ?? "INVALID_FIELD",
    message: problem.message,
  }));
  const facts: ErrorFacts = { field, limit, actual, violations };
  return new HeadraceError(reason, `${message}${more}`, facts);
}

function shorten(text: string): string {
  return text.slice(0, ACTUAL_CHARS_MAX);
}
