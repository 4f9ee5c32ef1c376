import { create } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { status as Status } from "@grpc/grpc-js";

import { backoffMs } from "./backoff.js";
import type { Connection } from "./connection.js";
import { Deferred } from "./deferred.js";
import { HeadraceError } from "./errors.js";
import type {
  ExecutionStart,
  StartResult,
  StreamedEnded,
  StreamExecutionsRequest,
  StreamExecutionsResponse,
} from "./gen/headrace/v1/execution_service_pb.js";
import {
  ExecutionService,
  StreamedStartSchema,
  StreamExecutionsRequestSchema,
} from "./gen/headrace/v1/execution_service_pb.js";
import type { CallStatus } from "./status-details.js";
import { startError, statusError } from "./status-details.js";

const STARTS_PER_MESSAGE = 500;
const MESSAGE_BYTES = 1024 * 1024;
/** With so many starts unanswered, `room` makes callers wait. */
const UNANSWERED_LIMIT = 10_000;
/** So many ends are pushed at a time; the server reads no further starts while it owes 20,000 answers. */
const PUSHED_LIMIT = 10_000;
/** The stream is ended when there was nothing to start for so long. */
const IDLE_MS = 1_000;
const DEADLINE_CHECK_MS = 500;

/** A start that is committed. */
export type Started = Pick<StartResult, "executionId" | "created" | "version" | "traceId">;

/** What becomes of a start. */
export interface StartAnswers {
  /** The start is committed. Rejects with a HeadraceError when it was refused or the time is over. */
  readonly started: Promise<Started>;
  /** The end, when it was asked for; undefined when it must be waited for in another way. */
  readonly ended: Promise<StreamedEnded | undefined>;
}

interface PendingStart {
  readonly tag: bigint;
  readonly start: ExecutionStart;
  readonly wait: boolean;
  readonly bytes: number;
  readonly giveUpAtMs: number;
  readonly started: Deferred<Started>;
  readonly ended: Deferred<StreamedEnded | undefined>;
  state: "QUEUED" | "SENT" | "STARTED";
  tries: number;
}

/**
 * Starts executions on one stream, batched by turns of the event loop. A start that was not answered
 * when the stream breaks is sent again: its execution id makes that safe.
 */
export class StartStream {
  readonly #connection: Connection;
  readonly #namespace: string;
  readonly #pending = new Map<bigint, PendingStart>();
  #queue: PendingStart[] = [];
  #unanswered = 0;
  #waiting = 0;
  #nextTag = 1n;
  #call: ClientDuplexStream<StreamExecutionsRequest, StreamExecutionsResponse> | undefined;
  #blocked = false;
  #brokenTries = 0;
  #flushScheduled = false;
  #pauseTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #roomWaiters: Array<() => void> = [];
  #closed = false;

  constructor(connection: Connection, namespace: string) {
    this.#connection = connection;
    this.#namespace = namespace;
  }

  /** The start must carry an execution id. */
  start(start: ExecutionStart, wait: boolean): StartAnswers {
    if (this.#closed) throw new HeadraceError("CLOSED", "The client is closed");
    const pending: PendingStart = {
      tag: this.#nextTag++,
      start,
      wait,
      bytes: 200 + (start.input?.data.length ?? 0),
      giveUpAtMs: Date.now() + this.#connection.callTimeoutMs,
      started: new Deferred(),
      ended: new Deferred(),
      state: "QUEUED",
      tries: 0,
    };
    this.#pending.set(pending.tag, pending);
    this.#unanswered += 1;
    if (wait) this.#waiting += 1;
    this.#enqueue(pending);
    return { started: pending.started.promise, ended: pending.ended.promise };
  }

  /** Whether the end of one more start can be asked for without holding up later starts. */
  get canWait(): boolean {
    return this.#waiting < PUSHED_LIMIT;
  }

  /** Resolves when few enough starts are unanswered to add more. */
  async room(): Promise<void> {
    if (this.#unanswered < UNANSWERED_LIMIT) return;
    await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
  }

  /** Rejects what was not answered. What was answered is committed and goes on. */
  close(): void {
    this.#closed = true;
    for (const pending of [...this.#pending.values()]) {
      this.#refuse(pending, new HeadraceError("CLOSED", "The client was closed before the answer came"));
    }
    clearTimeout(this.#pauseTimer);
    clearTimeout(this.#idleTimer);
    clearInterval(this.#deadlineTimer);
    this.#call?.end();
  }

  #enqueue(pending: PendingStart): void {
    pending.state = "QUEUED";
    this.#queue.push(pending);
    this.#deadlineTimer ??= setInterval(() => this.#refuseLate(), DEADLINE_CHECK_MS);
    this.#scheduleFlush();
  }

  #enqueueAfter(pending: PendingStart, pauseMs: number): void {
    setTimeout(() => {
      if (this.#pending.has(pending.tag)) this.#enqueue(pending);
    }, pauseMs);
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#pauseTimer !== undefined) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#queue.length === 0 || this.#closed || this.#pauseTimer !== undefined) return;
    clearTimeout(this.#idleTimer);
    const first = this.#call === undefined;
    const call = (this.#call ??= this.#open());
    let namespace = first ? this.#namespace : "";
    while (this.#queue.length > 0 && !this.#blocked) {
      const starts = this.#takeQueued().map(({ tag, start, wait }) =>
        create(StreamedStartSchema, { tag, start, wait }),
      );
      this.#blocked = !call.write(create(StreamExecutionsRequestSchema, { namespace, starts }));
      namespace = "";
    }
  }

  #takeQueued(): PendingStart[] {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#queue) {
      bytes += pending.bytes;
      if (count > 0 && (bytes > MESSAGE_BYTES || count === STARTS_PER_MESSAGE)) break;
      pending.state = "SENT";
      pending.tries += 1;
      count += 1;
    }
    const taken = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    return taken.filter((pending) => this.#pending.has(pending.tag));
  }

  #open(): ClientDuplexStream<StreamExecutionsRequest, StreamExecutionsResponse> {
    const call = this.#connection.duplex(ExecutionService.method.streamExecutions);
    this.#blocked = false;
    call.on("data", (response: StreamExecutionsResponse) => this.#receive(response));
    call.on("drain", () => {
      if (call !== this.#call) return;
      this.#blocked = false;
      this.#flush();
    });
    call.on("status", (status: CallStatus) => this.#ended(call, status));
    // "status" carries the same; without a listener "error" would be thrown.
    call.on("error", () => undefined);
    return call;
  }

  #receive({ started, ended }: StreamExecutionsResponse): void {
    this.#brokenTries = 0;
    for (const { tag, result } of started) {
      const pending = this.#pending.get(tag);
      if (pending !== undefined && pending.state === "SENT" && result !== undefined)
        this.#answer(pending, result);
    }
    for (const end of ended) {
      this.#pending.get(end.tag)?.ended.resolve(end);
      this.#forget(end.tag);
    }
  }

  #answer(pending: PendingStart, result: StartResult): void {
    if (result.error !== undefined) {
      const error = startError(result.error);
      const pauseMs = backoffMs(pending.tries);
      if (error.retryable && Date.now() + pauseMs < pending.giveUpAtMs) this.#enqueueAfter(pending, pauseMs);
      else this.#refuse(pending, error);
      return;
    }
    pending.state = "STARTED";
    this.#countAnswer();
    pending.started.resolve(result);
    if (pending.wait) return;
    pending.ended.resolve(undefined);
    this.#forget(pending.tag);
  }

  #ended(
    call: ClientDuplexStream<StreamExecutionsRequest, StreamExecutionsResponse>,
    status: CallStatus,
  ): void {
    if (call !== this.#call) return;
    this.#call = undefined;
    const error = status.code === Status.OK ? undefined : statusError(status, "The stream of starts");
    for (const pending of [...this.#pending.values()]) {
      if (pending.state === "STARTED") {
        pending.ended.resolve(undefined);
        this.#forget(pending.tag);
      } else if (pending.state === "SENT" && error !== undefined && !error.retryable) {
        this.#refuse(pending, error);
      } else if (pending.state === "SENT") {
        this.#enqueue(pending);
      }
    }
    if (this.#queue.length === 0) return;
    this.#pauseTimer = setTimeout(() => {
      this.#pauseTimer = undefined;
      this.#flush();
    }, backoffMs(this.#brokenTries++));
  }

  #refuseLate(): void {
    const now = Date.now();
    for (const pending of this.#pending.values()) {
      if (pending.state === "STARTED" || pending.giveUpAtMs > now) continue;
      const what = `The start was not answered by ${this.#connection.address} in ${this.#connection.callTimeoutMs} ms`;
      this.#refuse(
        pending,
        new HeadraceError("DEADLINE_EXCEEDED", what, {
          code: "DEADLINE_EXCEEDED",
          remedy: `It may have been committed: look at the execution ${pending.start.executionId}.`,
        }),
      );
    }
  }

  #refuse(pending: PendingStart, error: HeadraceError): void {
    if (pending.state !== "STARTED") this.#countAnswer();
    pending.started.reject(error);
    pending.ended.resolve(undefined);
    this.#forget(pending.tag);
  }

  #countAnswer(): void {
    this.#unanswered -= 1;
    if (this.#unanswered < UNANSWERED_LIMIT) for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  #forget(tag: bigint): void {
    if (this.#pending.get(tag)?.wait === true) this.#waiting -= 1;
    this.#pending.delete(tag);
    if (this.#pending.size > 0 || this.#closed) return;
    clearInterval(this.#deadlineTimer);
    this.#deadlineTimer = undefined;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      const call = this.#call;
      this.#call = undefined;
      call?.end();
    }, IDLE_MS);
  }
}
