import { timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { CacheOutcome, TaskStatus, type Task } from "../gen/headrace/v1/execution_pb.js";
import { countStatuses, statusOf, taskKey, type ExecutionModel, type GraphRow } from "./execution-model.js";
import { executionStatusLabel, isTaskOver, paintTaskStatus, taskStatusName, taskSymbol } from "./status.js";
import type { Style } from "./style.js";
import { countLabel, cut, durationLabel, oneLine, pad, relativeTime, visibleWidth } from "./text.js";

/** The room for a view, and what it depends on besides the model. */
export interface ViewOptions {
  readonly width: number;
  /** Lines at most. */
  readonly height: number;
  readonly nowMs: number;
  readonly style: Style;
}

const BAR_WIDTH = 24;
const TASK_BAR_WIDTH = 10;
const LONGEST_ID = 40;
const TIME_WIDTH = 9;
const MOST_REASONS = 5;
const MOST_NAMES = 3;

/** Reasons that the lines of the tasks already tell. */
const PLAIN_REASONS: ReadonlySet<string> = new Set(["DEPENDENCIES", "RUNNING", "RETRY_DELAY"]);

/** What tells most comes first when there is no room for all. */
const BY_INTEREST: readonly TaskStatus[] = [
  TaskStatus.FAILED,
  TaskStatus.TIMED_OUT,
  TaskStatus.RUNNING,
  TaskStatus.SCHEDULED,
  TaskStatus.WAITING,
  TaskStatus.READY,
  TaskStatus.CANCELLED,
];

/**
 * An execution as lines for a terminal: its state and progress, its tasks by depth, and at the bottom why
 * tasks wait. A graph that does not fit is shown by counts and the tasks that matter now.
 */
export function renderView(model: ExecutionModel, options: ViewOptions): string[] {
  const head = [...headLines(model, options), progressLine(model, options.style), ""];
  const foot = footLines(model, options.style);
  const room = options.height - head.length - foot.length;
  const body =
    model.rows.length <= room ? taskLines(model, model.rows, options) : collapsedLines(model, room, options);
  return [...head, ...body, ...foot].slice(0, options.height).map((line) => cut(line, options.width));
}

/** One line, or two where the id would be cut. */
function headLines({ execution }: ExecutionModel, { nowMs, style, width }: ViewOptions): string[] {
  const started = millis(execution.startedAt) ?? millis(execution.createdAt) ?? nowMs;
  const took = durationLabel((millis(execution.finishedAt) ?? nowMs) - started);
  const name = style.bold(execution.workflow);
  const id = style.dim(execution.executionId);
  const state = `${executionStatusLabel(execution.status, style)}  ${took}`;
  const whole = `${name}  ${id}  ${state}`;
  return visibleWidth(whole) <= width ? [whole] : [id, `${name}  ${state}`];
}

function progressLine(model: ExecutionModel, style: Style): string {
  const counts = countStatuses(model);
  const total = model.rows.length;
  const over = [...counts].reduce((sum, [status, count]) => sum + (isTaskOver(status) ? count : 0), 0);
  const words = [...counts].map(([status, count]) =>
    paintTaskStatus(
      status,
      `${countLabel(count)} ${taskStatusName(status).toLowerCase().replace("_", " ")}`,
      style,
    ),
  );
  return `${bar(over, total, BAR_WIDTH, style)}  ${countLabel(over)}/${countLabel(total)} tasks  ${words.join(style.dim(" · "))}`;
}

function bar(done: number, total: number, width: number, style: Style): string {
  const filled = total === 0 ? 0 : Math.min(width, Math.floor((done / total) * width));
  return style.green("█".repeat(filled)) + style.dim("░".repeat(width - filled));
}

function collapsedLines(model: ExecutionModel, room: number, options: ViewOptions): string[] {
  const interesting = BY_INTEREST.flatMap((status) =>
    model.rows.filter((row) => statusOf(model, row.key) === status),
  );
  // One line of the room tells how many are not shown.
  const shown = interesting.slice(0, Math.max(0, room - 1));
  if (shown.length === 0) return [];
  const rest = options.style.dim(`  … ${countLabel(model.rows.length - shown.length)} more tasks`);
  return [...taskLines(model, shown, options), rest];
}

function taskLines(
  model: ExecutionModel,
  rows: readonly GraphRow[],
  { nowMs, style }: ViewOptions,
): string[] {
  const width = Math.min(LONGEST_ID, Math.max(0, ...rows.map((row) => row.key.length)));
  return rows.map((row) => {
    const task = model.tasks.get(row.key);
    const status = statusOf(model, row.key);
    const name = pad(cut(row.key, width), width);
    const time = task === undefined ? "" : timeLabel(task, nowMs);
    const details =
      task === undefined || status === TaskStatus.PENDING
        ? [waitsFor(model, row)]
        : taskDetails(task, nowMs, style);
    const rest = details.filter((detail) => detail !== "").join(style.dim(" · "));
    return `  ${taskSymbol(status, style)} ${isTaskOver(status) ? name : style.bold(name)}  ${pad(time, TIME_WIDTH)}  ${rest}`.trimEnd();
  });
}

function timeLabel(task: Task, nowMs: number): string {
  const started = millis(task.startedAt);
  if (task.status === TaskStatus.SCHEDULED || task.status === TaskStatus.READY || started === undefined)
    return "";
  return durationLabel((millis(task.finishedAt) ?? nowMs) - started);
}

/** What a task's line says after its name and time. */
function taskDetails(task: Task, nowMs: number, style: Style): string[] {
  const due = millis(task.dueAt);
  const ready = millis(task.readyAt);
  const failure = oneLine(task.failure?.message ?? "");
  const attempt = task.attempt > 1 ? `attempt ${task.attempt}/${task.maxAttempts}` : "";
  switch (task.status) {
    case TaskStatus.RUNNING:
      return [attempt, oneLine(task.worker), progressLabel(task, style)];
    case TaskStatus.SCHEDULED:
      return [
        due === undefined ? "scheduled" : `due ${relativeTime(due, nowMs)}`,
        attempt,
        style.yellow(failure),
      ];
    case TaskStatus.READY:
      return [ready === undefined ? "ready" : `ready for ${durationLabel(nowMs - ready)}`, attempt];
    case TaskStatus.COMPLETED:
      return [attempt, task.cacheOutcome === CacheOutcome.HIT ? "from cache" : ""];
    default:
      return [taskStatusName(task.status).toLowerCase().replace("_", " "), attempt, style.red(failure)];
  }
}

function progressLabel({ progress }: Task, style: Style): string {
  if (progress === undefined) return "";
  const message = oneLine(progress.message);
  if (progress.total <= 0) return message;
  const percent = Math.min(100, Math.floor((progress.done / progress.total) * 100));
  return `${bar(progress.done, progress.total, TASK_BAR_WIDTH, style)} ${percent} % ${message}`.trimEnd();
}

function waitsFor(model: ExecutionModel, row: GraphRow): string {
  const open = row.dependsOn.filter((id) => !isTaskOver(statusOf(model, id)));
  return open.length === 0 ? "" : `waits for ${nameList(open)}`;
}

/** Why tasks wait, those with the same reason on one line, and what the watching itself has to say. */
function footLines(model: ExecutionModel, style: Style): string[] {
  const groups = new Map<string, string[]>();
  for (const reason of model.reasons) {
    if (PLAIN_REASONS.has(reason.reason) || isTaskOver(statusOf(model, taskKey(reason)))) continue;
    const text = `${style.yellow(reason.reason)}  ${oneLine(reason.message)}`;
    groups.set(text, [...(groups.get(text) ?? []), taskKey(reason)]);
  }
  const lines = [...groups].map(([text, keys]) => `  ${nameList(keys)}  ${text}`);
  const shown = lines.slice(0, MOST_REASONS);
  if (lines.length > shown.length) shown.push(style.dim(`  … ${lines.length - shown.length} more reasons`));
  if (shown.length > 0) shown.unshift("", style.dim("waiting"));
  if (model.note !== "") shown.push("", style.yellow(oneLine(model.note)));
  return shown;
}

function nameList(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(", ") + (more > 0 ? ` and ${countLabel(more)} more` : "");
}

function millis(at: Timestamp | undefined): number | undefined {
  return at === undefined ? undefined : timestampMs(at);
}
