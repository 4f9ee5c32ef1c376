import { timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { TaskStatus, type Execution, type Task } from "../gen/headrace/v1/execution_pb.js";
import type { WatchExecutionResponse } from "../gen/headrace/v1/execution_service_pb.js";
import type { CliError } from "./cli-error.js";
import { applyUpdate, type ExecutionModel, type TaskChange } from "./execution-model.js";
import type { Screen } from "./screen.js";
import { executionStatusName, isExecutionOver, isTaskOver, taskStatusName } from "./status.js";
import { oneLine } from "./text.js";

interface Event {
  readonly atMs: number;
  readonly text: string;
}

/** One line for each change, for pipes and logs, with the time of the change where it is known. */
export class LineWatch {
  readonly #model: ExecutionModel;
  readonly #screen: Screen;
  #status: string | undefined;
  #end: Event | undefined;

  constructor(model: ExecutionModel, screen: Screen) {
    this.#model = model;
    this.#screen = screen;
  }

  update(update: WatchExecutionResponse): void {
    const nowMs = Date.now();
    const events = applyUpdate(this.#model, update).map((change) => ({
      atMs: taskTimeMs(change.task, this.#model.execution) ?? nowMs,
      text: changeText(change),
    }));
    const { execution } = this.#model;
    const status = executionStatusName(execution.status);
    if (status !== this.#status) {
      const event = {
        atMs: executionTimeMs(execution) ?? nowMs,
        text: `execution ${execution.executionId} ${status}`,
      };
      // What became of tasks without a row is told after the end is known, and the end is the last line.
      if (isExecutionOver(execution.status)) this.#end = event;
      else events.push(event);
    }
    this.#status = status;
    for (const event of events.sort((a, b) => a.atMs - b.atMs)) this.#line(event);
  }

  lost(error: CliError): void {
    this.#line({ atMs: Date.now(), text: `connection lost, trying again: ${oneLine(error.message)}` });
  }

  close(): void {
    if (this.#end !== undefined) this.#line(this.#end);
    this.#end = undefined;
  }

  #line({ atMs, text }: Event): void {
    this.#screen.stream.write(`${new Date(atMs).toISOString()} ${text}\n`);
  }
}

/** When a task came into its status; undefined when the server does not tell. */
function taskTimeMs(task: Task, execution: Execution): number | undefined {
  if (isTaskOver(task.status)) return millis(task.finishedAt) ?? millis(execution.finishedAt);
  if (task.status === TaskStatus.RUNNING) return millis(task.startedAt);
  return task.status === TaskStatus.READY ? millis(task.readyAt) : undefined;
}

function executionTimeMs(execution: Execution): number | undefined {
  if (isExecutionOver(execution.status)) return millis(execution.finishedAt);
  return millis(execution.startedAt) ?? millis(execution.createdAt);
}

function millis(at: Timestamp | undefined): number | undefined {
  return at === undefined ? undefined : timestampMs(at);
}

/** A change of a task as one line: "charge RUNNING attempt 2/3 worker-1". */
export function changeText({ key, task }: TaskChange): string {
  const attempt = task.attempt > 0 ? `attempt ${task.attempt}/${task.maxAttempts}` : "";
  const failure = oneLine(task.failure?.message ?? "");
  const due = task.status === TaskStatus.SCHEDULED ? millis(task.dueAt) : undefined;
  const again = due === undefined ? "" : `due ${new Date(due).toISOString()}`;
  return [key, taskStatusName(task.status), attempt, oneLine(task.worker), failure, again]
    .filter((part) => part !== "")
    .join(" ");
}
