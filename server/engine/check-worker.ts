import { HeadraceError, type Violation } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import { labelProblems } from "../core/check-labels.js";
import { handlerNameProblem, queueNameProblem, textProblem } from "../core/names.js";
import type { HelloRequest, PollRequest } from "./api.js";
import type { WorkerSettings } from "./worker-settings.js";

type Served = Pick<HelloRequest, "workerName" | "sdkName" | "sdkVersion" | "handlers" | "queues">;

/** Throws INVALID_FIELD with every violation of a Hello. Its fields are named as in the frame: "hello.credit". */
export function checkHello(hello: HelloRequest, limits: Limits): void {
  const violations = checkServed(hello, limits);
  violations.push(...tooLong("build_id", hello.buildId, limits));
  violations.push(...outOfRange("features", hello.features.length, 0, FEATURES_MAX));
  violations.push(...outOfRange("credit", hello.credit, 0, limits.creditPerSession));
  violations.push(...outOfRange("slots", hello.slots, 0, limits.creditPerSession));
  for (const { path, message } of labelProblems("labels", hello.labels, limits)) {
    violations.push({ field: path, reason: "INVALID_LABEL", message });
  }
  refuse(violations.map((violation) => ({ ...violation, field: `hello.${violation.field}` })));
}

/** Throws INVALID_FIELD with every violation of a poll. */
export function checkPoll(request: PollRequest, limits: Limits, settings: WorkerSettings): void {
  const violations = checkServed(request, limits);
  violations.push(...outOfRange("max_tasks", request.maxTasks, 0, MAX_POLL_TASKS));
  violations.push(...outOfRange("wait", request.waitMs, 0, MAX_POLL_WAIT_MS));
  if (request.sessionTimeoutMs !== undefined) {
    violations.push(
      ...outOfRange("session_timeout", request.sessionTimeoutMs, 1_000, settings.pollSessionMaxMs),
    );
  }
  refuse(violations);
}

const FEATURES_MAX = 100;
const MAX_POLL_TASKS = 1_000;
const MAX_POLL_WAIT_MS = 60_000;

function checkServed(
  { workerName, sdkName, sdkVersion, handlers, queues }: Served,
  limits: Limits,
): Violation[] {
  const named =
    workerName === ""
      ? "The worker name is empty; name the worker."
      : textProblem("worker name", workerName, limits.nameChars);
  return [
    ...problem("worker_name", "INVALID_NAME", named),
    ...tooLong("sdk_name", sdkName, limits),
    ...tooLong("sdk_version", sdkVersion, limits),
    ...checkNames("handlers", handlers, limits.handlersPerWorker, (name) => handlerNameProblem(name, limits)),
    ...checkNames("queues", queues, limits.queuesPerWorker, (name) => queueNameProblem(name, limits)),
  ];
}

function checkNames(
  field: string,
  names: readonly string[],
  max: number,
  problemOf: (name: string) => string | undefined,
): Violation[] {
  const count = outOfRange(field, names.length, 1, max);
  // There may be a million of them.
  if (count.length > 0) return count;
  return [
    ...names.flatMap((name, at) => problem(`${field}[${at}]`, "INVALID_NAME", problemOf(name))),
    ...repeated(field, names),
  ];
}

function tooLong(field: string, text: string, limits: Limits): Violation[] {
  return problem(field, "INVALID_TEXT", textProblem(field, text, limits.nameChars));
}

function repeated(field: string, names: readonly string[]): Violation[] {
  const at = names.findIndex((name, position) => names.indexOf(name) !== position);
  return problem(
    `${field}[${at}]`,
    "DUPLICATE",
    at < 0 ? undefined : `"${names[at] ?? ""}" is given twice; give it once.`,
  );
}

function problem(field: string, reason: string, message: string | undefined): Violation[] {
  return message === undefined ? [] : [{ field, reason, message }];
}

function outOfRange(field: string, actual: number, min: number, max: number): Violation[] {
  if (actual >= min && actual <= max) return [];
  return [{ field, reason: "OUT_OF_RANGE", message: `${field} is ${actual}; give ${min} to ${max}.` }];
}

function refuse(violations: readonly Violation[]): void {
  const first = violations[0];
  if (first === undefined) return;
  throw new HeadraceError("INVALID_FIELD", violations.map(({ message }) => message).join(" "), {
    field: first.field,
    violations,
  });
}
