import { durationMs, timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { CacheOutcome, type Attempt, type Execution, type Task } from "../gen/headrace/v1/execution_pb.js";
import type { Failure, Payload } from "../gen/headrace/v1/payload_pb.js";
import { failureLabel, failureText } from "./execution-end.js";
import { taskKey } from "./execution-model.js";
import { payloadText } from "./payload.js";
import { executionStatusLabel, taskStatusLabel } from "./status.js";
import type { Style } from "./style.js";
import { countLabel, durationLabel, manyLines, oneLine, relativeTime } from "./text.js";

/** What texts depend on besides their subject. */
export interface TextOptions {
  readonly nowMs: number;
  readonly style: Style;
}

type Facts = Array<readonly [string, string]>;

interface Table {
  readonly head: readonly string[];
  readonly rows: ReadonlyArray<readonly string[]>;
}

/** An execution as names and values; `traceUrl` makes a link of its trace id. */
export function executionFacts(
  execution: Execution,
  { nowMs, style, traceUrl }: TextOptions & { readonly traceUrl: string | undefined },
): Facts {
  const trace =
    traceUrl === undefined || traceUrl === "" ? "" : `  ${traceUrl.replace("{trace_id}", execution.traceId)}`;
  return [
    ["execution", execution.executionId],
    ["workflow", `${execution.workflow} ${style.dim(execution.version)}`],
    ["status", executionStatusLabel(execution.status, style)],
    ["failure", failureText(execution.failure)],
    ["cancel", cancelText(execution, nowMs)],
    ["tasks", taskCountsText(execution)],
    ["created", timeText(execution.createdAt, nowMs)],
    ["started", timeText(execution.startedAt, nowMs)],
    ["finished", timeText(execution.finishedAt, nowMs)],
    ["took", tookText(execution.startedAt, execution.finishedAt, nowMs)],
    ["deadline", timeText(execution.deadlineAt, nowMs)],
    ["key", oneLine(execution.idempotencyKey)],
    ["priority", execution.priority === 0 ? "" : String(execution.priority)],
    ["labels", labelsText(execution.labels)],
    ["parent", [execution.parentExecutionId, execution.parentTaskId].filter((part) => part !== "").join(" ")],
    ["trace", execution.traceId + trace],
  ];
}

/** A task as names and values. */
export function taskFacts(task: Task, { nowMs, style }: TextOptions): Facts {
  const cached = task.cacheOutcome === CacheOutcome.HIT ? `hit, from ${task.cacheExecutionId}` : "";
  return [
    ["task", taskKey(task)],
    ["execution", task.executionId],
    ["status", taskStatusLabel(task.status, style)],
    ["failure", failureText(task.failure)],
    ["handler", `${task.handler} on queue ${task.queue}`],
    ["attempt", task.attempt === 0 ? "" : `${task.attempt} of ${task.maxAttempts}`],
    ["crashes", task.crashes === 0 ? "" : `${countLabel(task.crashes)} (its worker vanished)`],
    ["worker", oneLine(task.worker)],
    ["progress", progressText(task)],
    ["cache", cached],
    ["due", timeText(task.dueAt, nowMs)],
    ["ready", timeText(task.readyAt, nowMs)],
    ["started", timeText(task.startedAt, nowMs)],
    ["finished", timeText(task.finishedAt, nowMs)],
    ["took", tookText(task.startedAt, task.finishedAt, nowMs)],
    ["stack", manyLines(task.failure?.stackTrace ?? "")],
  ];
}

/** Input and output under titles; nothing for those that are unset. */
export function payloadSections(
  holder: { readonly input?: Payload | undefined; readonly output?: Payload | undefined },
  style: Style,
): string[] {
  return (["input", "output"] as const).flatMap((name) => {
    const text = payloadText(holder[name]);
    return text === "" ? [] : ["", style.bold(name), manyLines(text)];
  });
}

/** Tasks as a table, one a row. */
export function taskTable(tasks: readonly Task[], { nowMs, style }: TextOptions): Table {
  return {
    head: ["TASK", "STATUS", "ATTEMPT", "TOOK", "WORKER", "FAILURE"],
    rows: tasks.map((task) => [
      taskKey(task),
      taskStatusLabel(task.status, style),
      task.attempt === 0 ? "" : `${task.attempt}/${task.maxAttempts}`,
      tookText(task.startedAt, task.finishedAt, nowMs),
      oneLine(task.worker),
      shortFailure(task.failure),
    ]),
  };
}

/** Earlier attempts of a task as a table, one a row. */
export function attemptTable(attempts: readonly Attempt[], { nowMs }: TextOptions): Table {
  return {
    head: ["ATTEMPT", "STARTED", "TOOK", "WORKER", "NEXT AFTER", "FAILURE"],
    rows: attempts.map((attempt) => [
      String(attempt.attempt),
      attempt.startedAt === undefined ? "" : relativeTime(timestampMs(attempt.startedAt), nowMs),
      tookText(attempt.startedAt, attempt.finishedAt, nowMs),
      oneLine(attempt.worker),
      attempt.retryDelay === undefined ? "" : durationLabel(durationMs(attempt.retryDelay)),
      shortFailure(attempt.failure),
    ]),
  };
}

function shortFailure(failure: Failure | undefined): string {
  return failure === undefined ? "" : oneLine(failureLabel(failure));
}

function cancelText({ cancelRequestedAt, cancelReason }: Execution, nowMs: number): string {
  if (cancelRequestedAt === undefined) return "";
  const reason = cancelReason === "" ? "" : `: ${oneLine(cancelReason)}`;
  return `asked for ${relativeTime(timestampMs(cancelRequestedAt), nowMs)}${reason}`;
}

function taskCountsText({ taskCounts }: Execution): string {
  return Object.entries(taskCounts)
    .map(([status, count]) => `${countLabel(count)} ${status.toLowerCase().replace("_", " ")}`)
    .join(", ");
}

function progressText({ progress }: Task): string {
  if (progress === undefined) return "";
  const share = progress.total > 0 ? `${progress.done} of ${progress.total}` : String(progress.done);
  return `${share} ${oneLine(progress.message)}`.trimEnd();
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => oneLine(`${key}=${value}`))
    .join(" ");
}

function timeText(at: Timestamp | undefined, nowMs: number): string {
  if (at === undefined) return "";
  const ms = timestampMs(at);
  return `${new Date(ms).toISOString()} (${relativeTime(ms, nowMs)})`;
}

function tookText(from: Timestamp | undefined, to: Timestamp | undefined, nowMs: number): string {
  if (from === undefined) return "";
  return durationLabel((to === undefined ? nowMs : timestampMs(to)) - timestampMs(from));
}
