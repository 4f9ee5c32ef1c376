import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";

import { encodePayload } from "./codec.js";
import { currentTraceparent } from "./context.js";
import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import type { ResultOptions } from "./executions.js";
import type { ExecutionStart } from "./gen/headrace/v1/execution_service_pb.js";
import { ExecutionStartSchema } from "./gen/headrace/v1/execution_service_pb.js";
import { refuseUnknownOptions, requireLabels, requireWhole } from "./options.js";
import { uuidv7 } from "./uuid.js";

/** How to start an execution. */
export interface StartOptions {
  /** UUIDv7 of the execution. Default: a new one, which makes a repeated request answer as the first did. */
  readonly executionId?: string;
  /** Your own name of this start: the same key with the same request gives the same execution. */
  readonly idempotencyKey?: string;
  /** Of a workflow given by name: the version, or a unique prefix of it. Default: the latest. */
  readonly version?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Shortens the deadline of the workflow. */
  readonly deadline?: DurationLike;
  /** Added to the priority of each task. -100 to 100. */
  readonly priority?: number;
  /** Start not before this. */
  readonly startAt?: Date;
  /** W3C trace context of the caller. Default: that of the handler in which this is called. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** Of `startMany`: how to start each, and whether to be told the ends. */
export interface StartManyOptions extends Omit<StartOptions, "executionId" | "idempotencyKey"> {
  /**
   * Whether the server pushes each end to this client, so that `result()` of thousands of handles needs no
   * call for each. The stream then stays open until the executions have ended, which keeps a program
   * running; false is for programs that start and leave. Default true.
   */
  readonly wait?: boolean;
}

/** Of `run`: how to start, and how long to wait. */
export type RunOptions = StartOptions & ResultOptions;

const KNOWN = [
  "executionId",
  "idempotencyKey",
  "version",
  "labels",
  "deadline",
  "priority",
  "startAt",
  "traceparent",
  "tracestate",
];

/** What to start, with an execution id; errors tell `path` as the place of the input. Throws INVALID_OPTION and INVALID_PAYLOAD. */
export function executionStart(
  workflow: string,
  version: string,
  input: unknown,
  options: StartOptions,
  path = "input",
): ExecutionStart {
  refuseUnknownOptions(options, KNOWN, "start()");
  const start = create(ExecutionStartSchema, {
    workflow,
    version,
    executionId: options.executionId ?? uuidv7(),
    idempotencyKey: options.idempotencyKey ?? "",
    traceparent: options.traceparent ?? currentTraceparent(),
    tracestate: options.tracestate ?? "",
  });
  if (input !== undefined) start.input = encodePayload(input, path);
  if (options.labels !== undefined) start.labels = requireLabels(options.labels);
  if (options.deadline !== undefined)
    start.deadline = durationFromMs(parseDuration(options.deadline, "deadline"));
  if (options.priority !== undefined) start.priority = requireWhole(options.priority, -100, 100, "priority");
  if (options.startAt !== undefined) start.startAt = timestampFromDate(options.startAt);
  return start;
}
