import type { WatchExecutionResponse } from "../gen/headrace/v1/execution_service_pb.js";
import type { CliError } from "./cli-error.js";
import { applyUpdate, type ExecutionModel, type TaskChange } from "./execution-model.js";
import type { Screen } from "./screen.js";
import { executionStatusName, taskStatusName } from "./status.js";
import { oneLine } from "./text.js";

/** One line for each change, for pipes and logs. */
export class LineWatch {
  readonly #model: ExecutionModel;
  readonly #screen: Screen;
  #status: string | undefined;

  constructor(model: ExecutionModel, screen: Screen) {
    this.#model = model;
    this.#screen = screen;
  }

  update(update: WatchExecutionResponse): void {
    for (const change of applyUpdate(this.#model, update)) this.#line(changeText(change));
    const status = executionStatusName(this.#model.execution.status);
    if (status !== this.#status) this.#line(`execution ${this.#model.execution.executionId} ${status}`);
    this.#status = status;
  }

  lost(error: CliError): void {
    this.#line(`connection lost, trying again: ${oneLine(error.message)}`);
  }

  close(): void {
    // Every line is written as it comes; nothing is held back.
  }

  #line(text: string): void {
    this.#screen.stream.write(`${new Date().toISOString()} ${text}\n`);
  }
}

/** A change of a task as one line: "charge RUNNING attempt 2/3 worker-1". */
export function changeText({ key, task }: TaskChange): string {
  const attempt = task.attempt > 0 ? `attempt ${task.attempt}/${task.maxAttempts}` : "";
  const failure = oneLine(task.failure?.message ?? "");
  return [key, taskStatusName(task.status), attempt, oneLine(task.worker), failure]
    .filter((part) => part !== "")
    .join(" ");
}
