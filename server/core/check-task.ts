import { checkDuration, checkNumber } from "./check-number.js";
import type { Limits } from "./limits.js";
import { handlerNameProblem, queueNameProblem, taskIdProblem, textProblem } from "./names.js";
import { DEFAULT_RETRY } from "./plan-defaults.js";
import type { ProblemList, WorkflowProblemReason } from "./workflow-problem.js";
import type { Backoff, RetrySpec, TaskSpec, TimeoutsSpec } from "./workflow-spec.js";

/** Priorities, of tasks and of executions, are whole numbers from minus this to this. */
export const PRIORITY_MAX = 100;

const BACKOFFS: ReadonlySet<string> = new Set<Backoff>(["FIXED", "LINEAR", "EXPONENTIAL"]);
const ERROR_TYPES_MAX = 100;
const ANNOTATIONS_MAX = 1_000;

/** Notes what is wrong with a task by itself: its names, texts and numbers. */
export function checkTask(task: TaskSpec, path: string, limits: Limits, problems: ProblemList): void {
  problems.note(`${path}.id`, "INVALID_NAME", taskIdProblem(task.id, limits));
  if (task.handler !== undefined) {
    problems.note(`${path}.handler`, "INVALID_NAME", handlerNameProblem(task.handler, limits));
  }
  if (task.queue !== undefined) {
    problems.note(`${path}.queue`, "INVALID_NAME", queueNameProblem(task.queue, limits));
  }
  checkText(problems, `${path}.description`, task.description, limits.descriptionChars);
  checkAnnotations(task, path, limits, problems);
  const priority = { min: -PRIORITY_MAX, max: PRIORITY_MAX, isWhole: true };
  checkNumber(problems, `${path}.priority`, task.priority, priority);
  if (task.retry !== undefined) checkRetry(task.retry, `${path}.retry`, limits, problems);
  if (task.timeouts !== undefined) checkTimeouts(task.timeouts, `${path}.timeouts`, problems);
}

/** Notes free text that is too long or has characters that cannot be kept. */
export function checkText(
  problems: ProblemList,
  path: string,
  text: string | undefined,
  charsMax: number,
): void {
  if (text === undefined) return;
  const field = path.slice(path.lastIndexOf(".") + 1);
  problems.note(path, textReason(text, charsMax), textProblem(field, text, charsMax));
}

/** The reason that goes with a problem of `textProblem`. */
export function textReason(text: string, charsMax: number): WorkflowProblemReason {
  return text.length > charsMax ? "TOO_LONG" : "INVALID_TEXT";
}

function checkAnnotations(task: TaskSpec, path: string, limits: Limits, problems: ProblemList): void {
  const entries = Object.entries(task.annotations ?? {});
  if (entries.length > ANNOTATIONS_MAX) {
    const message = `There are ${entries.length} annotations, more than the limit of ${ANNOTATIONS_MAX}; remove some.`;
    problems.add(`${path}.annotations`, "TOO_MANY_VALUES", message);
    return;
  }
  for (const [key, value] of entries) {
    const at = `${path}.annotations[${JSON.stringify(key.slice(0, limits.nameChars))}]`;
    if (key === "") problems.add(at, "EMPTY", "The annotation key is empty; name it or remove it.");
    problems.note(
      at,
      textReason(key, limits.nameChars),
      textProblem("annotation key", key, limits.nameChars),
    );
    const charsMax = limits.descriptionChars;
    problems.note(at, textReason(value, charsMax), textProblem("annotation value", value, charsMax));
  }
}

function checkRetry(retry: RetrySpec, path: string, limits: Limits, problems: ProblemList): void {
  checkNumber(problems, `${path}.max_attempts`, retry.maxAttempts, { min: 1, max: 1_000, isWhole: true });
  checkNumber(problems, `${path}.max_crashes`, retry.maxCrashes, { min: 1, max: 100, isWhole: true });
  checkNumber(problems, `${path}.factor`, retry.factor, { min: 1, max: 100 });
  checkNumber(problems, `${path}.jitter`, retry.jitter, { min: 0, max: 1 });
  checkDuration(problems, `${path}.initial_interval`, retry.initialIntervalMs, 0);
  checkDuration(problems, `${path}.max_interval`, retry.maxIntervalMs, 0);
  checkIntervalOrder(retry, path, problems);
  if (retry.backoff !== undefined && !BACKOFFS.has(retry.backoff)) {
    const message = `backoff is ${JSON.stringify(retry.backoff)}; it must be one of ${[...BACKOFFS].join(", ")}.`;
    problems.add(`${path}.backoff`, "UNKNOWN_VALUE", message);
  }
  const types = retry.nonRetryableErrorTypes ?? [];
  const typesPath = `${path}.non_retryable_error_types`;
  if (types.length > ERROR_TYPES_MAX) {
    const message = `There are ${types.length} error types, more than the limit of ${ERROR_TYPES_MAX}; let handlers mark such failures as non-retryable.`;
    problems.add(typesPath, "TOO_MANY_VALUES", message);
    return;
  }
  types.forEach((type, at) => {
    if (type === "")
      problems.add(`${typesPath}[${at}]`, "EMPTY", "The error type is empty; name one or remove it.");
    checkText(problems, `${typesPath}[${at}]`, type, limits.nameChars);
  });
}

/** A first delay beyond the cap would silently be the cap. */
function checkIntervalOrder(retry: RetrySpec, path: string, problems: ProblemList): void {
  const initialMs = retry.initialIntervalMs ?? DEFAULT_RETRY.initialIntervalMs;
  const maxMs = retry.maxIntervalMs ?? DEFAULT_RETRY.maxIntervalMs;
  if (initialMs <= maxMs) return;
  const field = retry.initialIntervalMs === undefined ? "max_interval" : "initial_interval";
  const message = `initial_interval is ${initialMs} ms, longer than max_interval, which is ${maxMs} ms; raise max_interval or lower initial_interval.`;
  problems.add(`${path}.${field}`, "OUT_OF_RANGE", message);
}

function checkTimeouts(timeouts: TimeoutsSpec, path: string, problems: ProblemList): void {
  checkDuration(problems, `${path}.queue`, timeouts.queueMs);
  checkDuration(problems, `${path}.attempt`, timeouts.attemptMs);
  checkDuration(problems, `${path}.heartbeat`, timeouts.heartbeatMs);
  checkDuration(problems, `${path}.total`, timeouts.totalMs);
}
