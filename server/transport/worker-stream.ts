import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type {
  Assignment,
  CancelNotice,
  Engine,
  ReportAck,
  ReportEntry,
  SessionSink,
  WelcomeAnswer,
  WorkerSession,
} from "../engine/api.js";
import type { Log } from "../engine/log.js";
import type { Beat, ConnectRequest, ConnectResponse, Reports } from "../gen/headrace/v1/worker_service_pb.js";
import { convertBeat, convertReport, rejectedAck } from "./convert-attempt.js";
import { convertHello, welcomeMessage } from "./convert-worker.js";
import { FieldCheck } from "./field-check.js";
import { OutgoingFrames } from "./outgoing-frames.js";
import type { Context, DuplexCall, DuplexListener } from "./service-impl.js";

/** What a worker stream needs, and its bounds. */
export interface WorkerStreamOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly log: Log;
  readonly version: string;
  /** How long a stream may stay without its Hello. Default 10 s. */
  readonly helloTimeoutMs?: number;
  /** Assignments that one frame collects. Default 1 MiB, or half a message where that is less. */
  readonly frameBytes?: number;
  /** A stream that has so many bytes of assignments waiting and gets more is closed. Default 64 MiB. */
  readonly waitingBytesMax?: number;
}

/**
 * One Connect call: the rules of the worker protocol, and batches. What the engine says in one turn of the
 * event loop, or while the line is busy, leaves as one frame of each kind.
 */
export class WorkerStream implements DuplexListener<ConnectRequest>, SessionSink {
  readonly #options: WorkerStreamOptions;
  readonly #call: DuplexCall<ConnectResponse>;
  readonly #peer: string;
  readonly #frames: OutgoingFrames;
  readonly #helloTimer: NodeJS.Timeout;
  #hasHello = false;
  #session: WorkerSession | undefined;
  #beatIntervalMs = 0;
  #lastMessageAtMs = 0;
  /** Reports that the engine has not acknowledged. */
  #unansweredReports = 0;
  #isFlushPlanned = false;
  #isOver = false;

  constructor(options: WorkerStreamOptions, call: DuplexCall<ConnectResponse>, context: Context) {
    this.#options = options;
    this.#call = call;
    this.#peer = context.peer;
    const frameBytes = options.frameBytes ?? Math.min(1_048_576, Math.floor(options.limits.messageBytes / 2));
    this.#frames = new OutgoingFrames(frameBytes);
    const helloTimeoutMs = options.helloTimeoutMs ?? 10_000;
    this.#helloTimer = setTimeout(() => {
      this.#leave(violation(`No Hello came within ${helloTimeoutMs} ms.`));
    }, helloTimeoutMs);
  }

  // What the worker says.

  message(message: ConnectRequest): void {
    if (this.#isOver) return;
    this.#lastMessageAtMs = performance.now();
    const receivedFrame = Number(message.receivedFrame);
    if (receivedFrame > this.#frames.lastFrame) {
      const sent = this.#frames.lastFrame;
      throw violation(`received_frame is ${receivedFrame}, but the last frame sent is ${sent}.`);
    }
    const session = this.#session;
    if (session === undefined) {
      this.#introduce(message);
      return;
    }
    session.received(receivedFrame);
    this.#dispatch(session, message.message);
  }

  halfClosed(): void {
    this.#leave();
    this.#call.end();
  }

  writable(): void {
    this.#flush();
  }

  gone(): void {
    this.#leave();
  }

  #introduce({ message }: ConnectRequest): void {
    if (message.case !== "hello" || this.#hasHello) {
      throw violation(`The first message must be one Hello, and this is ${message.case ?? "empty"}.`);
    }
    this.#hasHello = true;
    clearTimeout(this.#helloTimer);
    const hello = convertHello(message.value, this.#options.limits);
    // Whatever follows the Hello waits until there is a session to take it.
    this.#call.pause();
    this.#options.engine.workers.connect(hello, this).then(
      ({ session, welcome }) => this.#welcome(session, welcome),
      (error: unknown) => this.#leave(error),
    );
  }

  #welcome(session: WorkerSession, answer: WelcomeAnswer): void {
    if (this.#isOver) {
      session.disconnected("closed");
      return;
    }
    this.#session = session;
    this.#beatIntervalMs = answer.beatIntervalMs;
    const { limits, version } = this.#options;
    this.#call.write(this.#frames.welcome(welcomeMessage(answer, limits, version)));
    this.#call.resume();
    this.#planFlush();
  }

  #dispatch(session: WorkerSession, message: ConnectRequest["message"]): void {
    switch (message.case) {
      case "credit":
        this.#grant(session, "credit.add", message.value.add);
        break;
      case "reports":
        this.#report(session, message.value);
        break;
      case "beat":
        this.#beat(session, message.value);
        break;
      case "drain":
        session.drain();
        break;
      case "hello":
        throw violation("A second Hello came on this stream.");
      case "logs":
        throw new HeadraceError("NOT_SUPPORTED_YET", "Logs are not supported yet.", { field: "logs" });
      case undefined: // Only acknowledges frames.
        break;
    }
  }

  #grant(session: WorkerSession, field: string, credit: number): void {
    const check = new FieldCheck();
    check.range(field, credit, 0, this.#options.limits.creditPerSession);
    check.finish();
    if (credit > 0) session.grant(credit);
  }

  #report(session: WorkerSession, { reports, credit }: Reports): void {
    const { limits } = this.#options;
    checkCount("reports.reports", reports.length, limits.reportsPerMessage);
    this.#unansweredReports += reports.length;
    if (this.#unansweredReports > 2 * limits.creditPerSession + limits.reportsPerMessage) {
      const text = `${this.#unansweredReports} reports of this stream wait for their commit.`;
      throw new HeadraceError("OVERLOADED", text, { retryAfterMs: 1_000 });
    }
    const entries: ReportEntry[] = [];
    for (const [index, report] of reports.entries()) {
      try {
        entries.push(convertReport(`reports.reports[${index}]`, report, limits));
      } catch (error) {
        // One bad outcome is answered; the other reports and the stream go on.
        if (!(error instanceof HeadraceError) || report.attempt === undefined) throw error;
        this.#unansweredReports--;
        this.#frames.reject(rejectedAck(report.attempt, error));
        this.#planFlush();
      }
    }
    if (entries.length > 0) session.report(entries);
    if (credit !== 0) this.#grant(session, "reports.credit", credit);
  }

  #beat(session: WorkerSession, { attempts }: Beat): void {
    const { limits } = this.#options;
    checkCount("beat.attempts", attempts.length, 2 * limits.creditPerSession);
    if (attempts.length === 0) return;
    session.beat(attempts.map((beat, index) => convertBeat(`beat.attempts[${index}]`, beat, limits)));
  }

  // What the engine says.

  assign(assignments: readonly Assignment[]): number {
    if (this.#isOver) return this.#frames.lastFrame;
    const limit = this.#options.waitingBytesMax ?? 67_108_864;
    const actual = this.#frames.waitingBytes;
    if (actual > limit) {
      const text = `The worker does not read: ${actual} bytes of assignments wait; the limit is ${limit}.`;
      const error = new HeadraceError("DELIVERY_NOT_ACKNOWLEDGED", text, { limit, actual });
      // Later, because the engine is in the middle of handing out.
      queueMicrotask(() => this.#leave(error));
    }
    const frame = this.#frames.assign(assignments);
    this.#planFlush();
    return frame;
  }

  ack(acks: readonly ReportAck[]): void {
    this.#unansweredReports -= acks.length;
    this.#frames.ack(acks);
    this.#planFlush();
  }

  cancel(cancels: readonly CancelNotice[]): void {
    this.#frames.cancel(cancels);
    this.#planFlush();
  }

  drain(reason: string): void {
    this.#frames.drain(reason);
    this.#planFlush();
  }

  ping(): void {
    this.#frames.ping();
    this.#planFlush();
  }

  close(error: Error): void {
    if (this.#isOver) return;
    // The engine has given the session up itself and need not be told.
    this.#session = undefined;
    this.#flush();
    this.#leave(error);
  }

  /** Ends the stream, with the status of the error if there is one, and tells the engine. Once. */
  #leave(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#helloTimer);
    const session = this.#session;
    this.#session = undefined;
    if (error !== undefined) this.#call.fail(error);
    session?.disconnected(error === undefined ? this.#howItBroke() : "closed");
    this.#options.log.debug(
      { peer: this.#peer, sessionId: session?.sessionId, err: error },
      "worker stream ended",
    );
  }

  /**
   * A line that was silent before it broke tells nothing of the worker; one that was not tells its end. A
   * broken line may look half-closed first, so that is judged alike.
   */
  #howItBroke(): "closed" | "silent" {
    const silentMs = performance.now() - this.#lastMessageAtMs;
    return silentMs > 2 * this.#beatIntervalMs ? "silent" : "closed";
  }

  #planFlush(): void {
    if (this.#isFlushPlanned || this.#isOver) return;
    this.#isFlushPlanned = true;
    setImmediate(this.#planned);
  }

  readonly #planned = (): void => {
    this.#isFlushPlanned = false;
    this.#flush();
  };

  #flush(): void {
    // Nothing may go before the Welcome.
    while (!this.#isOver && this.#frames.lastFrame > 0 && this.#call.canWrite) {
      const frame = this.#frames.next();
      if (frame === undefined) return;
      this.#call.write(frame);
    }
  }
}

function checkCount(field: string, actual: number, limit: number): void {
  if (actual <= limit) return;
  const text = `${field} has ${actual} entries; the limit is ${limit}.`;
  throw new HeadraceError("INVALID_FIELD", text, { field, limit, actual });
}

function violation(message: string): HeadraceError {
  return new HeadraceError("PROTOCOL_VIOLATION", message);
}
