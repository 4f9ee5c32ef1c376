import { ExecutionService, type WatchExecutionResponse } from "../gen/headrace/v1/execution_service_pb.js";
import { CliError } from "./cli-error.js";
import type { ClientSession } from "./client-session.js";
import { applyUpdate, type ExecutionModel } from "./execution-model.js";
import { LiveTerminal } from "./live-terminal.js";
import { renderView } from "./live-view.js";
import type { Screen } from "./screen.js";
import type { Style } from "./style.js";

const DRAW_INTERVAL_MS = 100;
/** Running times go on although nothing changes. */
const REDRAW_AFTER_MS = 1_000;
const EXPLAIN_INTERVAL_MS = 2_000;

/** The graph in the terminal, drawn over in place. */
export class LiveWatch {
  readonly #session: ClientSession;
  readonly #model: ExecutionModel;
  readonly #terminal: LiveTerminal;
  readonly #style: Style;
  readonly #timer: NodeJS.Timeout;
  #isStale = true;
  #drawnAtMs = 0;
  #explainedAtMs = Date.now();
  #closed = false;

  constructor(session: ClientSession, model: ExecutionModel, { stream, style }: Screen) {
    this.#session = session;
    this.#model = model;
    this.#style = style;
    this.#terminal = new LiveTerminal(stream);
    this.#timer = setInterval(() => this.#tick(), DRAW_INTERVAL_MS);
  }

  update(update: WatchExecutionResponse): void {
    applyUpdate(this.#model, update);
    this.#model.note = "";
    this.#isStale = true;
  }

  lost(error: CliError): void {
    this.#model.note = `connection lost, trying again: ${error.message}`;
    this.#isStale = true;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#model.reasons = [];
    this.#draw();
    this.#terminal.close();
  }

  #tick(): void {
    const nowMs = Date.now();
    if (nowMs - this.#explainedAtMs >= EXPLAIN_INTERVAL_MS) {
      this.#explainedAtMs = nowMs;
      void this.#explain();
    }
    if (this.#isStale || nowMs - this.#drawnAtMs >= REDRAW_AFTER_MS) this.#draw();
  }

  #draw(): void {
    this.#isStale = false;
    this.#drawnAtMs = Date.now();
    const options = { ...this.#terminal.size, nowMs: this.#drawnAtMs, style: this.#style };
    this.#terminal.draw(renderView(this.#model, options));
  }

  /** Asks why tasks wait. Never rejects: the view says when it cannot know. */
  async #explain(): Promise<void> {
    const { connection, namespace, signal } = this.#session;
    const { executionId } = this.#model.execution;
    try {
      const request = { namespace, executionId };
      const answer = await connection.unary(ExecutionService.method.explainExecution, request, { signal });
      if (!this.#closed) this.#model.reasons = answer.reasons;
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      this.#model.note = `why tasks wait is not known: ${error.message}`;
    }
    this.#isStale = true;
  }
}
