import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";

import { backoffMs } from "./backoff.js";
import type { Connection } from "./connection.js";
import { pause } from "./connection.js";
import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import { HeadraceError } from "./errors.js";
import type { Execution, ExecutionStatus, TaskState } from "./execution.js";
import { executionOf, resultOf, taskStateOf } from "./execution.js";
import { ExecutionStatus as StatusNumber } from "./gen/headrace/v1/execution_pb.js";
import type { ExecutionFilterSchema, StreamedEnded } from "./gen/headrace/v1/execution_service_pb.js";
import { ExecutionService } from "./gen/headrace/v1/execution_service_pb.js";
import { refuseUnknownOptions, requireLabels } from "./options.js";
import { deadlineOf, waitOver, within } from "./wait.js";

/** How long a caller waits for an output. */
export interface ResultOptions {
  /** How long to wait; the execution goes on afterwards. Default: until it ends. */
  readonly timeout?: DurationLike;
  /** Stops the waiting, not the execution. */
  readonly signal?: AbortSignal;
}

/** How a watch is stopped before the execution ends. */
export interface WatchOptions {
  readonly signal?: AbortSignal;
}

/** How an execution is asked to end. */
export interface CancelOptions {
  readonly reason?: string;
  /** How long running tasks may take to end; 0 forces. Default 30 s. */
  readonly grace?: DurationLike;
}

/** All that are given must hold. */
export interface ListOptions {
  readonly workflow?: string;
  readonly version?: string;
  /** Any of these. */
  readonly statuses?: readonly ExecutionStatus[];
  /** Each label must have this value. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly createdAfter?: Date;
  readonly createdBefore?: Date;
  /** Executions fetched at a time, 1 to 1,000. */
  readonly pageSize?: number;
}

/** What `watch` tells: the execution, and those of its tasks that changed. */
export interface ExecutionUpdate {
  readonly execution: Execution;
  readonly tasks: readonly TaskState[];
}

/** The end as the server pushes it; undefined when it must be asked for. Never rejects. */
export type PushedEnd = Promise<StreamedEnded | undefined>;

const LIST_KNOWN = ["workflow", "version", "statuses", "labels", "createdAfter", "createdBefore", "pageSize"];
/** One wait call; longer waits are made of several. */
const WAIT_MS = 60_000;
/** How long the server's own answer that such a piece is over may take. */
const ANSWER_MS = 5_000;

/** Reads and controls executions by their ids. */
export class Executions {
  readonly #connection: Connection;
  readonly #namespace: string;

  constructor(connection: Connection, namespace: string) {
    this.#connection = connection;
    this.#namespace = namespace;
  }

  async get(executionId: string): Promise<Execution> {
    const request = { namespace: this.#namespace, executionId };
    const { execution } = await this.#connection.unary(ExecutionService.method.getExecution, request);
    return executionOf(required(execution, "GetExecution"));
  }

  /** Newest first, without payloads. */
  async *list(options: ListOptions = {}): AsyncGenerator<Execution, void, undefined> {
    refuseUnknownOptions(options, LIST_KNOWN, "list()");
    const filter = filterOf(options);
    let pageToken = "";
    do {
      const page = await this.#connection.unary(ExecutionService.method.listExecutions, {
        namespace: this.#namespace,
        filter,
        pageSize: options.pageSize ?? 0,
        pageToken,
      });
      for (const execution of page.executions) yield executionOf(execution);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** The output, once the execution has ended. Rejects with ExecutionFailedError or WAIT_OVER. */
  async result(executionId: string, options: ResultOptions = {}, pushed?: PushedEnd): Promise<unknown> {
    refuseUnknownOptions(options, ["timeout", "signal"], "result()");
    const { signal } = options;
    const deadline = deadlineOf(options.timeout);
    const end = pushed && (await within(pushed, { executionId, deadline, signal }));
    return end === undefined ? this.wait(executionId, deadline, signal) : resultOf(end);
  }

  /** The same with a deadline in milliseconds since the epoch. */
  async wait(executionId: string, deadline: number, signal: AbortSignal | undefined): Promise<unknown> {
    for (let broken = 0; ;) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw waitOver(executionId);
      const waitMs = Math.min(WAIT_MS, leftMs);
      try {
        const { execution } = await this.#connection.unary(
          ExecutionService.method.waitExecution,
          { namespace: this.#namespace, executionId, timeout: durationFromMs(waitMs) },
          // A server that says nothing may hold up the next piece, but not the end of the caller's own wait.
          { timeoutMs: Math.min(waitMs + ANSWER_MS, leftMs), signal, repeat: false },
        );
        return resultOf(required(execution, "WaitExecution"));
      } catch (error) {
        if (!(error instanceof HeadraceError)) throw error;
        if (error.reason === "WAIT_OVER" || error.reason === "DEADLINE_EXCEEDED") continue;
        if (!error.retryable) throw error;
        const pauseMs = error.retryAfterMs ?? backoffMs(broken++);
        await pause(Math.max(0, Math.min(pauseMs, deadline - Date.now())), signal);
      }
    }
  }

  /** Goes on after a broken connection where it was. Ends with the execution. */
  async *watch(
    executionId: string,
    options: WatchOptions = {},
  ): AsyncGenerator<ExecutionUpdate, void, undefined> {
    refuseUnknownOptions(options, ["signal"], "watch()");
    const { signal } = options;
    let afterRevision = 0n;
    for (let broken = 0; ;) {
      try {
        const request = { namespace: this.#namespace, executionId, afterRevision };
        const updates = this.#connection.serverStream(
          ExecutionService.method.watchExecution,
          request,
          signal,
        );
        for await (const { execution, tasks } of updates) {
          broken = 0;
          const update = required(execution, "WatchExecution");
          afterRevision = update.revision;
          yield { execution: executionOf(update), tasks: tasks.map(taskStateOf) };
        }
        return;
      } catch (error) {
        if (!(error instanceof HeadraceError) || !error.retryable) throw error;
        await pause(backoffMs(broken++), signal);
      }
    }
  }

  async cancel(executionId: string, options: CancelOptions = {}): Promise<boolean> {
    refuseUnknownOptions(options, ["reason", "grace"], "cancel()");
    const { accepted } = await this.#connection.unary(ExecutionService.method.cancelExecution, {
      namespace: this.#namespace,
      executionId,
      reason: options.reason ?? "",
      ...(options.grace === undefined
        ? {}
        : { grace: durationFromMs(parseDuration(options.grace, "grace")) }),
    });
    return accepted;
  }
}

function filterOf(options: ListOptions): MessageInitShape<typeof ExecutionFilterSchema> {
  return {
    workflow: options.workflow ?? "",
    version: options.version ?? "",
    statuses: (options.statuses ?? []).map(statusNumber),
    labels: requireLabels(options.labels),
    ...(options.createdAfter && { createdAfter: timestampFromDate(options.createdAfter) }),
    ...(options.createdBefore && { createdBefore: timestampFromDate(options.createdBefore) }),
  };
}

function statusNumber(name: string): StatusNumber {
  const numbers: Readonly<Record<string, StatusNumber>> = StatusNumber;
  const number = numbers[name];
  if (number !== undefined && number !== StatusNumber.UNSPECIFIED) return number;
  throw new HeadraceError("INVALID_OPTION", `"${name}" is not a status of an execution`, {
    field: "statuses",
    actual: name,
    remedy: `Use ${Object.keys(StatusNumber).slice(1).join(", ")}.`,
  });
}

/** A part of an answer that every server sends. */
function required<T>(part: T | undefined, call: string): T {
  if (part !== undefined) return part;
  throw new HeadraceError("MALFORMED_RESPONSE", `The answer of ${call} is empty`, {
    remedy: "Look at what answers at this address: it does not speak the contract.",
  });
}
