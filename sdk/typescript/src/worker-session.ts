import { create } from "@bufbuild/protobuf";
import { durationMs, timestampDate } from "@bufbuild/protobuf/wkt";

import type { Outcome } from "./attempt.js";
import { Attempt } from "./attempt.js";
import type { AttemptRunner } from "./attempt-runner.js";
import { Beats } from "./beats.js";
import type { Connection } from "./connection.js";
import { Credit } from "./credit.js";
import { settlesWithin } from "./deferred.js";
import { CancelledError } from "./errors.js";
import { finalFailure } from "./failure.js";
import type {
  Ack,
  Assignment,
  AttemptBeat,
  Cancel,
  ConnectResponse,
  Hello,
  StaleAttempt,
  Welcome,
} from "./gen/headrace/v1/worker_service_pb.js";
import {
  AckResult,
  BeatSchema,
  CreditSchema,
  DrainSchema,
  HelloSchema,
  ReportsSchema,
  ResumeSchema,
} from "./gen/headrace/v1/worker_service_pb.js";
import { HeldAttempts, reportOf } from "./held-attempts.js";
import { cancelled, givenBack, WORKER_DRAINING } from "./run-attempt.js";
import { StreamKeeper } from "./stream-keeper.js";
import type { WorkerStream } from "./worker-stream.js";

/** Largest payload until the server has told its own limit. */
const PAYLOAD_BYTES = 2 * 1024 * 1024;
const REPORTS_PER_MESSAGE = 1_000;
const REPORT_MESSAGE_BYTES = 1024 * 1024;
const BEAT_INTERVAL_MS = 5_000;

/** What stays the same in each hello of a worker. */
export type HelloFacts = Pick<
  Hello,
  | "namespace"
  | "workerName"
  | "sdkName"
  | "sdkVersion"
  | "handlers"
  | "queues"
  | "labels"
  | "buildId"
  | "slots"
>;

/** Where a session connects to, and as whom. */
export interface SessionOptions {
  readonly connection: Connection;
  readonly hello: HelloFacts;
  readonly warn: (message: string) => void;
}

/**
 * A worker's session with the server, over as many streams as it takes. Keeps outcomes until they
 * are acknowledged, grants credit as slots become free, and resumes after a broken stream.
 */
export class WorkerSession {
  payloadLimitBytes = PAYLOAD_BYTES;
  readonly #options: SessionOptions;
  readonly #runner: AttemptRunner;
  readonly #keeper: StreamKeeper;
  readonly #held = new HeldAttempts();
  readonly #beats = new Beats(() => this.#scheduleFlush());
  readonly #credit: Credit;
  #sessionId = "";
  #reportsPerMessage = REPORTS_PER_MESSAGE;
  #draining = false;
  #flushScheduled = false;
  #intervalTimer: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions, runner: AttemptRunner) {
    this.#options = options;
    this.#runner = runner;
    this.#credit = new Credit(runner, this.#held);
    this.#keeper = new StreamKeeper(options.connection, {
      hello: () => this.#hello(),
      welcome: (welcome) => this.#welcome(welcome),
      message: (message) => this.#receive(message),
      writable: () => this.#flush(),
      lost: () => clearInterval(this.#intervalTimer),
      warn: options.warn,
    });
  }

  /** Resolves once the server has welcomed the worker. Rejects when it refuses, or does not answer in time. */
  open(): Promise<void> {
    return this.#keeper.open();
  }

  /** The handler of an attempt has ended. */
  finished(attempt: Attempt, outcome: Outcome): void {
    this.#held.finish(attempt, outcome);
    this.#scheduleFlush();
  }

  /** The attempt has a beat to send. */
  beat(attempt: Attempt): void {
    this.#beats.add(attempt);
  }

  /** Asks for no further assignments and gives back what has not started. */
  drain(): void {
    this.#draining = true;
    this.#credit.stop();
    if (this.#keeper.current !== undefined) this.#sendDrain(this.#keeper.current);
    for (const attempt of this.#runner.takeQueued()) this.#held.finish(attempt, givenBack());
    this.#scheduleFlush();
  }

  /** Hands an attempt to another worker although its handler has not ended. */
  giveBack(attempt: Attempt): void {
    this.#held.finish(attempt, givenBack());
    this.#scheduleFlush();
  }

  /** Waits until every outcome is acknowledged, or the time is over, and leaves. */
  async close(timeoutMs: number): Promise<void> {
    if (!(await settlesWithin(this.#held.empty(), timeoutMs))) {
      this.#options.warn(
        `Headrace: ${this.#held.size} outcomes were not acknowledged by ${this.#options.connection.address}; ` +
          "the server hands their tasks out again",
      );
    }
    await this.#keeper.stop();
    this.#beats.stop();
  }

  #hello(): Hello {
    const hello = create(HelloSchema, { ...this.#options.hello, credit: this.#credit.begin() });
    if (this.#sessionId !== "") {
      const held = this.#held.all().map((attempt) => attempt.ref);
      hello.resume = create(ResumeSchema, { sessionId: this.#sessionId, held });
    }
    return hello;
  }

  #welcome(welcome: Welcome): void {
    const resumes = this.#sessionId !== "";
    this.#sessionId = welcome.sessionId;
    this.#takeLimits(welcome);
    if (resumes && !welcome.resumed) this.#loseAll();
    else this.#lose(welcome.stale);
    this.#held.reportAllAgain();
    // A fifth earlier than asked for, as timers are late and never early.
    const everyMs = 0.8 * (welcome.beatInterval ? durationMs(welcome.beatInterval) : BEAT_INTERVAL_MS);
    this.#intervalTimer = setInterval(() => this.#sendBeat(this.#beats.takeDue()), everyMs);
    if (this.#draining && this.#keeper.current !== undefined) this.#sendDrain(this.#keeper.current);
    this.#flush();
  }

  #takeLimits({ limits }: Welcome): void {
    if (limits === undefined) return;
    if (limits.payloadBytes > 0n) this.payloadLimitBytes = Number(limits.payloadBytes);
    if (limits.reportsPerMessage > 0) this.#reportsPerMessage = limits.reportsPerMessage;
    if (limits.credit > 0) this.#credit.limit = limits.credit;
  }

  #receive(message: ConnectResponse["message"]): void {
    switch (message.case) {
      case "assignments":
        this.#assign(message.value.assignments);
        break;
      case "acks":
        this.#acknowledge(message.value.acks);
        break;
      case "cancels":
        this.#cancel(message.value.cancels);
        break;
      // A drain of the server needs no answer: when this stream ends, the next one resumes elsewhere.
      // A ping was answered by the stream. What a newer server says besides is not for this version.
      default:
        return;
    }
    this.#scheduleFlush();
  }

  #assign(assignments: readonly Assignment[]): void {
    this.#credit.use(assignments.length);
    for (const assignment of assignments) {
      const ref = assignment.attempt;
      // A repeated hand-out of what is held already is the same attempt, not a second one.
      if (ref === undefined || this.#held.get(ref) !== undefined) continue;
      const attempt = new Attempt(ref, assignment);
      this.#held.add(attempt);
      if (this.#draining) this.#held.finish(attempt, givenBack());
      else this.#runner.add(attempt);
    }
  }

  #acknowledge(acks: readonly Ack[]): void {
    for (const ack of acks) {
      const attempt = ack.attempt && this.#held.get(ack.attempt);
      if (attempt?.state !== "FINISHED") continue;
      if (ack.result !== AckResult.REJECTED) this.#held.remove(attempt);
      else this.#rejected(attempt, ack);
    }
  }

  /** Reports a failure with the reason of the server instead of the outcome that it cannot take. */
  #rejected(attempt: Attempt, { reason, message }: Ack): void {
    if (!attempt.rejected) {
      attempt.rejected = true;
      this.#held.replaceOutcome(attempt, { case: "failure", value: finalFailure(reason, message) });
      return;
    }
    this.#options.warn(`Headrace: the server takes no outcome of the attempt ${attempt.key}: ${message}`);
    this.#held.remove(attempt);
  }

  #cancel(cancels: readonly Cancel[]): void {
    for (const { attempt: ref, reason, outcomeWanted, deadlineAt } of cancels) {
      const attempt = ref && this.#held.get(ref);
      if (attempt === undefined) continue;
      const why = new CancelledError(reason, deadlineAt && timestampDate(deadlineAt));
      if (!outcomeWanted) {
        this.#drop(attempt, why);
      } else if (attempt.state === "QUEUED") {
        this.#runner.remove(attempt);
        this.#held.finish(attempt, cancelled(why.message));
      } else {
        attempt.cancel(why);
      }
    }
  }

  #lose(stale: readonly StaleAttempt[]): void {
    for (const { attempt: ref, reason } of stale) {
      const attempt = ref && this.#held.get(ref);
      if (attempt !== undefined) this.#drop(attempt, new CancelledError(reason || "LEASE_LOST"));
    }
  }

  #loseAll(): void {
    for (const attempt of this.#held.all()) this.#drop(attempt, new CancelledError("LEASE_LOST"));
  }

  /** Stops an attempt whose outcome nobody wants. Its slot stays taken until its handler has ended. */
  #drop(attempt: Attempt, why: CancelledError): void {
    this.#held.remove(attempt);
    if (attempt.state === "QUEUED") this.#runner.remove(attempt);
    else attempt.cancel(why);
  }

  /** Everything that happens in one turn of the event loop leaves in one message. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const stream = this.#keeper.current;
    if (stream === undefined) return;
    while (this.#held.hasReports && !stream.blocked) this.#sendReports(stream);
    if (stream.blocked) return;
    const add = this.#credit.take();
    if (add > 0) stream.send({ case: "credit", value: create(CreditSchema, { add }) });
    const beats = this.#beats.takeDue();
    if (beats.length > 0) this.#sendBeat(beats);
  }

  #sendReports(stream: WorkerStream): void {
    const finished = this.#held.takeFinished(this.#reportsPerMessage, REPORT_MESSAGE_BYTES);
    if (finished.length === 0) return;
    // Details of a last heartbeat go before the end of their attempt: they are for the next one.
    const beats = finished.flatMap((attempt) => this.#beats.take(attempt));
    if (beats.length > 0) this.#sendBeat(beats);
    const reports = finished.map(reportOf);
    stream.send({ case: "reports", value: create(ReportsSchema, { reports, credit: this.#credit.take() }) });
  }

  #sendBeat(attempts: AttemptBeat[]): void {
    this.#keeper.current?.send({ case: "beat", value: create(BeatSchema, { attempts }) });
  }

  #sendDrain(stream: WorkerStream): void {
    stream.send({ case: "drain", value: create(DrainSchema, { reason: WORKER_DRAINING }) });
  }
}
