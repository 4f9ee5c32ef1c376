import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import type { TaskContext } from "./context.js";
import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import { HeadraceError } from "./errors.js";
import type { TaskSpec, Timeouts } from "./gen/headrace/v1/workflow_pb.js";
import { TimeoutsSchema } from "./gen/headrace/v1/workflow_pb.js";
import { refuseUnknownOptions } from "./options.js";
import type { Ref } from "./ref.js";
import type { RetryOptions } from "./retry.js";
import { retryPolicy } from "./retry.js";

/** The function that a worker runs for a task. */
export type Handler<In, Out> = (input: In, context: TaskContext) => Promise<Out> | Out;

/** A task whose types are not known. */
export interface TaskDefinition {
  /** The name under which workers serve it. */
  readonly name: string;
  readonly options: TaskOptions;
  /** Undefined when another worker serves it. */
  readonly handler: Handler<never, unknown> | undefined;
}

/** All enforced by the server. What is left out has no limit. */
export interface TimeoutOptions {
  /** From ready to started. */
  readonly queue?: DurationLike;
  /** From started to the end of the attempt. */
  readonly attempt?: DurationLike;
  /** Between two heartbeats of an attempt. */
  readonly heartbeat?: DurationLike;
  /** From first ready to the end of the last attempt. */
  readonly total?: DurationLike;
}

/** How the server treats a task. What is left out takes the server's default. */
export interface TaskOptions {
  /** The line it waits in. Default "default". */
  readonly queue?: string;
  readonly retry?: RetryOptions;
  readonly timeouts?: TimeoutOptions;
  /** Higher goes first within its queue and handler. -100 to 100. */
  readonly priority?: number;
  readonly description?: string;
}

/** What one use of a task in a workflow overrides. */
export interface NodeOptions extends TaskOptions {
  /** Unique in the workflow. Default: the name of the task, then with -2, -3, ... */
  readonly id?: string;
  /** Tasks that must have completed before, although nothing of their outputs is used. */
  readonly after?: ReadonlyArray<Ref<unknown>>;
}

const TASK_KEYS = ["queue", "retry", "timeouts", "priority", "description"];
const NODE_KEYS = [...TASK_KEYS, "id", "after"];

/** Throws INVALID_OPTION for what is wrong with the options of a task, when it is defined. */
export function checkTaskOptions(options: TaskOptions, where: string): void {
  refuseUnknownOptions(options, TASK_KEYS, where);
  checkValues(options, where);
}

/** Throws INVALID_OPTION for what is wrong with the options of one use of a task. */
export function checkNodeOptions(options: NodeOptions, where: string): void {
  refuseUnknownOptions(options, NODE_KEYS, where);
  checkValues(options, where);
}

/** Writes what the options say into a node; retry and timeouts merge field by field, later wins. */
export function applyOptions(spec: TaskSpec, options: ReadonlyArray<TaskOptions>): void {
  const all: TaskOptions = Object.assign({}, ...options) as TaskOptions;
  const retry: RetryOptions = Object.assign({}, ...options.map((each) => each.retry)) as RetryOptions;
  const timeouts = Object.assign({}, ...options.map((each) => each.timeouts)) as TimeoutOptions;
  if (all.queue !== undefined) spec.queue = all.queue;
  if (all.priority !== undefined) spec.priority = all.priority;
  if (all.description !== undefined) spec.description = all.description;
  if (Object.keys(retry).length > 0) spec.retry = retryPolicy(retry);
  if (Object.keys(timeouts).length > 0) spec.timeouts = timeoutsOf(timeouts);
}

function checkValues(options: TaskOptions, where: string): void {
  if (options.retry !== undefined) retryPolicy(options.retry);
  if (options.timeouts !== undefined) timeoutsOf(options.timeouts);
  if (options.queue === "") {
    throw new HeadraceError("INVALID_OPTION", `The queue of ${where} is empty`, { field: "queue" });
  }
}

function timeoutsOf(options: TimeoutOptions): Timeouts {
  refuseUnknownOptions(options, ["queue", "attempt", "heartbeat", "total"], "timeouts");
  const timeouts = create(TimeoutsSchema);
  for (const name of ["queue", "attempt", "heartbeat", "total"] as const) {
    const value = options[name];
    if (value !== undefined) timeouts[name] = durationFromMs(parseDuration(value, `timeouts.${name}`));
  }
  return timeouts;
}
