import { create } from "@bufbuild/protobuf";

import type { CancelledError } from "./errors.js";
import type { Payload } from "./gen/headrace/v1/payload_pb.js";
import type { Progress } from "./gen/headrace/v1/execution_pb.js";
import type { Assignment, AttemptRef, Report } from "./gen/headrace/v1/worker_service_pb.js";
import { ReportSchema } from "./gen/headrace/v1/worker_service_pb.js";

export type Outcome = Report["outcome"];

/** What a heartbeat says that was not sent yet. */
export interface PendingBeat {
  progress?: Progress;
  details?: Payload;
}

/** One hand-out of a task, from its assignment until the server has acknowledged its outcome. */
export class Attempt {
  readonly key: string;
  readonly ref: AttemptRef;
  readonly assignment: Assignment;
  state: "QUEUED" | "RUNNING" | "FINISHED" = "QUEUED";
  /** The server no longer wants its outcome. */
  dropped = false;
  /** The server could not take its outcome once already. */
  rejected = false;
  /** Set once FINISHED. */
  report: Report | undefined;
  beat: PendingBeat | undefined;
  /** When its last beat was sent, in milliseconds of performance.now(). */
  beatAtMs = Number.NEGATIVE_INFINITY;
  #cancelled: CancelledError | undefined;
  #controller: AbortController | undefined;

  constructor(ref: AttemptRef, assignment: Assignment) {
    this.key = attemptKey(ref);
    this.ref = ref;
    this.assignment = assignment;
  }

  /** Made when it is first asked for: most handlers never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled);
    }
    return this.#controller.signal;
  }

  /** Why the handler was told to stop; undefined when it was not. */
  get cancelled(): CancelledError | undefined {
    return this.#cancelled;
  }

  /** Tells the handler to stop. The first reason stands. */
  cancel(why: CancelledError): void {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = why;
    this.#controller?.abort(why);
  }

  finish(outcome: Outcome): void {
    this.state = "FINISHED";
    this.report = create(ReportSchema, { attempt: this.ref, outcome });
  }

  /** Roughly what its report takes in a message. */
  get reportBytes(): number {
    const outcome = this.report?.outcome;
    const ownBytes = 150 + 2 * this.ref.taskId.length;
    if (outcome?.case === "success") return ownBytes + (outcome.value.output?.data.length ?? 0);
    if (outcome?.case !== "failure") return ownBytes;
    // At most five causes, each with a message, a stack and details.
    const { message, stackTrace, details, cause } = outcome.value;
    const perCause = cause === undefined ? 1 : 5;
    return ownBytes + perCause * (message.length + stackTrace.length + (details?.data.length ?? 0));
  }
}

/** Equal for the same hand-out only. */
export function attemptKey(ref: AttemptRef): string {
  return `${ref.executionId} ${ref.taskId} ${ref.mapIndex} ${ref.lease}`;
}
