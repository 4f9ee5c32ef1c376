import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { Engine, ExecutionEnd, ExecutionView, StartAnswer } from "../engine/api.js";
import type { Log } from "../engine/log.js";
import type {
  StartResult,
  StreamExecutionsRequest,
  StreamExecutionsResponse,
  StreamedEnded,
  StreamedStart,
  StreamedStarted,
} from "../gen/headrace/v1/execution_service_pb.js";
import { endedMessage, refusedResult, startedResult } from "./convert-execution.js";
import { namespaceOf } from "./convert-id.js";
import { convertStart } from "./convert-start.js";
import type { Context, DuplexCall, DuplexListener } from "./service-impl.js";

/** An execution that ran before its start was asked for again is waited for so long. */
const REPEAT_WAIT_MS = 86_400_000;
const STARTED_PER_RESPONSE = 5_000;

/** What a stream of starts needs, and its bounds. */
export interface ExecutionStreamOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly log: Log;
  /** Answers that one stream owes; above it, nothing more is read. Default 20,000. */
  readonly openAnswersMax?: number;
  /** A response is sent when its payloads reach so many bytes. Default 1 MiB. */
  readonly responseBytes?: number;
}

/**
 * One StreamExecutions call. Starts go to the engine as they come; what resolves in the same turn of the
 * event loop leaves as one message, so that batches come from load.
 */
export class ExecutionStream implements DuplexListener<StreamExecutionsRequest> {
  readonly #options: ExecutionStreamOptions;
  readonly #call: DuplexCall<StreamExecutionsResponse>;
  readonly #signal: AbortSignal;
  readonly #openMax: number;
  readonly #responseBytes: number;
  #namespace: string | undefined;
  /** Answers and ends that have not left. */
  #open = 0;
  #started: StreamedStarted[] = [];
  #ended: StreamedEnded[] = [];
  #isFlushPlanned = false;
  #isPaused = false;
  #isHalfClosed = false;
  #isOver = false;

  constructor(options: ExecutionStreamOptions, call: DuplexCall<StreamExecutionsResponse>, context: Context) {
    this.#options = options;
    this.#call = call;
    this.#signal = context.signal;
    this.#openMax = options.openAnswersMax ?? 20_000;
    this.#responseBytes = options.responseBytes ?? 1_048_576;
  }

  message(message: StreamExecutionsRequest): void {
    this.#checkNamespace(message);
    const { limits } = this.#options;
    const count = message.starts.length;
    if (count > limits.startsPerRequest) {
      const limit = limits.startsPerRequest;
      const facts = { field: "starts", limit, actual: count };
      throw new HeadraceError("INVALID_FIELD", `starts has ${count} entries; the limit is ${limit}.`, facts);
    }
    for (const [index, start] of message.starts.entries()) this.#begin(`starts[${index}].start`, start);
    if (this.#open >= this.#openMax) this.#pause();
  }

  halfClosed(): void {
    this.#isHalfClosed = true;
    this.#planFlush();
  }

  writable(): void {
    this.#flush();
  }

  gone(): void {
    this.#isOver = true;
    this.#started = [];
    this.#ended = [];
  }

  #checkNamespace(message: StreamExecutionsRequest): void {
    if (this.#namespace === undefined) {
      this.#namespace = namespaceOf(message);
    } else if (message.namespace !== "" && message.namespace !== this.#namespace) {
      const text = `namespace is set by the first message of a stream, to ${JSON.stringify(this.#namespace)}.`;
      throw new HeadraceError("INVALID_FIELD", text, { field: "namespace", actual: message.namespace });
    }
  }

  #begin(field: string, { tag, start, wait }: StreamedStart): void {
    this.#open += wait ? 2 : 1;
    const pending = new PendingStart((end) => this.#end(tag, end));
    let answer: Promise<StartAnswer>;
    try {
      if (this.#signal.aborted) throw new HeadraceError("DRAINING", "The server takes no new executions.");
      const request = convertStart(field, start, this.#options.limits);
      const { executions } = this.#options.engine;
      const waiting = { ...request, onEnd: pending.onEnd, signal: this.#signal };
      answer = executions.start(this.#namespace ?? "", wait ? waiting : request);
    } catch (error) {
      this.#refuse(tag, error, wait);
      return;
    }
    answer.then(
      (started) => {
        this.#answer(tag, startedResult(started));
        pending.answered();
        if (wait && !started.created) this.#awaitRepeated(started.executionId, pending.onEnd);
      },
      (error: unknown) => this.#refuse(tag, error, wait),
    );
  }

  /** The end of an execution that was started before may lie in the past, so it is asked for. */
  #awaitRepeated(executionId: string, onEnd: (end: ExecutionEnd) => void): void {
    const options = { timeoutMs: REPEAT_WAIT_MS, signal: this.#signal };
    this.#options.engine.executions.wait(this.#namespace ?? "", executionId, options).then(
      (view: ExecutionView | undefined) => {
        if (view !== undefined) onEnd(view);
      },
      (error: unknown) => this.#call.fail(error),
    );
  }

  #refuse(tag: bigint, error: unknown, wait: boolean): void {
    if (!(error instanceof HeadraceError)) {
      this.#call.fail(error);
      return;
    }
    if (wait) this.#open--; // There will be no end.
    this.#answer(tag, refusedResult(error));
  }

  #answer(tag: bigint, result: StartResult): void {
    if (this.#isOver) return;
    this.#started.push({ $typeName: "headrace.v1.StreamedStarted", tag, result });
    this.#planFlush();
  }

  #end(tag: bigint, end: ExecutionEnd): void {
    if (this.#isOver) return;
    this.#ended.push(endedMessage(tag, end));
    this.#planFlush();
  }

  #planFlush(): void {
    if (this.#isFlushPlanned || this.#isOver) return;
    this.#isFlushPlanned = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isFlushPlanned = false;
    while (!this.#isOver && this.#call.canWrite && this.#started.length + this.#ended.length > 0) {
      const response = this.#takeResponse();
      this.#open -= response.started.length + response.ended.length;
      this.#call.write(response);
    }
    if (this.#isPaused && this.#open <= this.#openMax / 2) this.#resume();
    if (this.#isHalfClosed && this.#open === 0) this.#call.end();
  };

  /** Answers first, because an end must not overtake its start. */
  #takeResponse(): StreamExecutionsResponse {
    const started = this.#started.splice(0, STARTED_PER_RESPONSE);
    let count = 0;
    if (this.#started.length === 0) {
      for (let bytes = 0; count < this.#ended.length && bytes < this.#responseBytes; count++) {
        const { output, failure } = this.#ended[count] ?? {};
        bytes += 200 + (output?.data.length ?? 0) + (failure?.details?.data.length ?? 0);
        bytes += 3 * ((failure?.message.length ?? 0) + (failure?.stackTrace.length ?? 0));
      }
    }
    const ended = this.#ended.splice(0, count);
    return { $typeName: "headrace.v1.StreamExecutionsResponse", started, ended };
  }

  #pause(): void {
    this.#isPaused = true;
    this.#call.pause();
  }

  #resume(): void {
    this.#isPaused = false;
    this.#call.resume();
  }
}

/** One start that waits for its end. Tells the end once, and not before the answer. */
class PendingStart {
  readonly #tell: (end: ExecutionEnd) => void;
  #isAnswered = false;
  #hasEnded = false;
  #early: ExecutionEnd | undefined;

  constructor(tell: (end: ExecutionEnd) => void) {
    this.#tell = tell;
  }

  readonly onEnd = (end: ExecutionEnd): void => {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#isAnswered) this.#tell(end);
    else this.#early = end;
  };

  answered(): void {
    this.#isAnswered = true;
    if (this.#early !== undefined) this.#tell(this.#early);
  }
}
