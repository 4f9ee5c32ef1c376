import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";

import type { Attempt, Outcome } from "./attempt.js";
import { decodePayload, encodePayload } from "./codec.js";
import type { TaskContext } from "./context.js";
import { runInContext } from "./context.js";
import { HeadraceError } from "./errors.js";
import { failureOf, finalFailure } from "./failure.js";
import { ProgressSchema } from "./gen/headrace/v1/execution_pb.js";
import type { Payload } from "./gen/headrace/v1/payload_pb.js";
import { CancelledSchema, GivenBackSchema, SuccessSchema } from "./gen/headrace/v1/worker_service_pb.js";
import type { Handler } from "./task-options.js";

/** The reason with which a worker that is stopping cancels what still runs. */
export const WORKER_DRAINING = "WORKER_DRAINING";

/** What an attempt needs of the worker that runs it. */
export interface AttemptHost {
  /** Largest payload that the server takes, in bytes. */
  payloadLimitBytes(): number;
  /** The attempt has a pending beat. */
  beat(attempt: Attempt): void;
}

/** Runs the handler of an attempt. Never rejects: whatever happens is an outcome. */
export async function runAttempt(
  attempt: Attempt,
  handler: Handler<unknown, unknown>,
  host: AttemptHost,
): Promise<Outcome> {
  let result: unknown;
  try {
    const input = decodePayload(attempt.assignment.input);
    const context = new AttemptContext(attempt, host);
    result = await runInContext(context, () => handler(input, context));
  } catch (error) {
    if (attempt.cancelled === undefined) return { case: "failure", value: failureOf(error) };
    return attempt.cancelled.reason === WORKER_DRAINING ? givenBack() : cancelled(attempt.cancelled.message);
  }
  return successOf(result, host.payloadLimitBytes());
}

/** The outcome of what another worker shall run, without counting a try. */
export function givenBack(): Outcome {
  return { case: "givenBack", value: create(GivenBackSchema, { reason: WORKER_DRAINING }) };
}

/** The outcome of a handler that ended because it was told to. */
export function cancelled(message: string): Outcome {
  return { case: "cancelled", value: create(CancelledSchema, { message }) };
}

function successOf(result: unknown, limitBytes: number): Outcome {
  if (result === undefined) return { case: "success", value: create(SuccessSchema) };
  try {
    const output = encodePayload(result, "output");
    requireSize(output, limitBytes, "output");
    return { case: "success", value: create(SuccessSchema, { output }) };
  } catch (error) {
    if (error instanceof HeadraceError) {
      return { case: "failure", value: finalFailure(error.reason, error.message) };
    }
    // A toJSON method or a getter of the user's own threw.
    return { case: "failure", value: failureOf(error) };
  }
}

function requireSize(payload: Payload, limitBytes: number, field: string): void {
  if (payload.data.length <= limitBytes) return;
  throw new HeadraceError(
    "PAYLOAD_TOO_LARGE",
    `The ${field} has ${payload.data.length} bytes, the limit of the server is ${limitBytes}`,
    {
      field,
      limit: limitBytes,
      actual: payload.data.length,
      remedy: "Store the data elsewhere and pass a reference, or raise the limit of the server.",
    },
  );
}

class AttemptContext implements TaskContext {
  readonly #attempt: Attempt;
  readonly #host: AttemptHost;

  constructor(attempt: Attempt, host: AttemptHost) {
    this.#attempt = attempt;
    this.#host = host;
  }

  get executionId(): string {
    return this.#attempt.ref.executionId;
  }

  get workflow(): string {
    return this.#attempt.assignment.workflow;
  }

  get taskId(): string {
    return this.#attempt.ref.taskId;
  }

  get mapIndex(): number {
    return this.#attempt.ref.mapIndex;
  }

  get attempt(): number {
    return this.#attempt.ref.attempt;
  }

  get maxAttempts(): number {
    return this.#attempt.assignment.maxAttempts;
  }

  get deadline(): Date | undefined {
    const at = this.#attempt.assignment.deadlineAt;
    return at === undefined ? undefined : timestampDate(at);
  }

  get signal(): AbortSignal {
    return this.#attempt.signal;
  }

  get traceparent(): string {
    return this.#attempt.assignment.traceparent;
  }

  get lastHeartbeat(): unknown {
    return decodePayload(this.#attempt.assignment.heartbeatDetails);
  }

  heartbeat(details?: unknown): void {
    this.#attempt.beat ??= {};
    if (details !== undefined) {
      const payload = encodePayload(details, "details");
      requireSize(payload, this.#host.payloadLimitBytes(), "details");
      this.#attempt.beat.details = payload;
    }
    this.#host.beat(this.#attempt);
  }

  progress(done: number, total = 0, message = ""): void {
    this.#attempt.beat ??= {};
    this.#attempt.beat.progress = create(ProgressSchema, { done, total, message });
    this.#host.beat(this.#attempt);
  }
}
