/** A field of a request that is wrong. */
export interface Violation {
  /** Path such as "tasks[3].depends_on[0]". */
  readonly field: string;
  readonly reason: string;
  readonly message: string;
}

/** What is known about an error besides its reason and message. */
export interface ErrorFacts {
  /** Canonical gRPC status name when a call failed, "CLIENT" when the SDK refused. */
  readonly code?: string;
  readonly field?: string | undefined;
  readonly limit?: string | number | undefined;
  readonly actual?: string | number | undefined;
  /** What to do, for people. */
  readonly remedy?: string | undefined;
  /** Whether the same call can succeed later without being changed. */
  readonly retryable?: boolean;
  readonly retryAfterMs?: number | undefined;
  readonly violations?: readonly Violation[];
  readonly cause?: unknown;
}

/**
 * What a call, an option or a definition is refused with. `reason` is stable and UPPER_SNAKE_CASE;
 * the message says what is wrong and `remedy` what to do.
 */
export class HeadraceError extends Error {
  readonly reason: string;
  readonly code: string;
  readonly field: string | undefined;
  readonly limit: string | number | undefined;
  readonly actual: string | number | undefined;
  readonly remedy: string | undefined;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly Violation[];

  constructor(reason: string, message: string, facts: ErrorFacts = {}) {
    const remedy = facts.remedy === undefined || facts.remedy === "" ? undefined : facts.remedy;
    super(withRemedy(message, remedy), facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "HeadraceError";
    this.reason = reason;
    this.code = facts.code ?? "CLIENT";
    this.field = facts.field;
    this.limit = facts.limit;
    this.actual = facts.actual;
    this.remedy = remedy;
    this.retryable = facts.retryable ?? false;
    this.retryAfterMs = facts.retryAfterMs;
    this.violations = facts.violations ?? [];
  }
}

/** Some of many starts were refused; the others are committed. */
export class StartManyError<Handle> extends HeadraceError {
  /** By the position of their input. Undefined where `errors` says why. */
  readonly handles: ReadonlyArray<Handle | undefined>;
  readonly errors: ReadonlyMap<number, unknown>;

  constructor(handles: ReadonlyArray<Handle | undefined>, errors: ReadonlyMap<number, unknown>) {
    const [[index, cause] = []] = errors;
    const where = `inputs[${index}]`;
    const what = `${errors.size} of ${handles.length} executions were not started, the first at ${where}`;
    super("SOME_NOT_STARTED", what, {
      field: where,
      actual: errors.size,
      remedy: "Read `errors` by position; `handles` has those that were started.",
      cause,
    });
    this.name = "StartManyError";
    this.handles = handles;
    this.errors = errors;
  }
}

/** How an execution ended when it did not complete. */
export interface ExecutionFailure {
  readonly executionId: string;
  readonly status: "FAILED" | "CANCELLED" | "TIMED_OUT";
  readonly reason: string;
  readonly message: string;
  /** The task that failed, if one did. */
  readonly taskId?: string | undefined;
  /** The handler's own name of the error. */
  readonly errorType?: string | undefined;
  readonly cause?: unknown;
}

/** `run` and `result` reject with this when the execution failed, was cancelled or timed out. */
export class ExecutionFailedError extends Error {
  readonly executionId: string;
  readonly status: ExecutionFailure["status"];
  readonly reason: string;
  readonly taskId: string | undefined;
  readonly errorType: string | undefined;

  constructor(failure: ExecutionFailure) {
    super(failure.message, failure.cause === undefined ? undefined : { cause: failure.cause });
    this.name = "ExecutionFailedError";
    this.executionId = failure.executionId;
    this.status = failure.status;
    this.reason = failure.reason;
    this.taskId = failure.taskId;
    this.errorType = failure.errorType;
  }
}

/** Why a running handler should stop; the reason of its aborted signal. */
export class CancelledError extends Error {
  /** EXECUTION_CANCELLED, ATTEMPT_TIMEOUT, HEARTBEAT_TIMEOUT, LEASE_LOST, WORKER_DRAINING, ... */
  readonly reason: string;
  /** When the server stops waiting for the outcome, if it does. */
  readonly deadline: Date | undefined;

  constructor(reason: string, deadline?: Date) {
    super(`The attempt is cancelled: ${reason}`);
    this.name = "CancelledError";
    this.reason = reason;
    this.deadline = deadline;
  }
}

/** Thrown by a handler: no further attempt, whatever the retry policy says. */
export class NonRetryable extends Error {
  /** Structured details, kept with the failure. Must be representable in JSON. */
  readonly details: unknown;

  constructor(message: string, options: { readonly cause?: unknown; readonly details?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "NonRetryable";
    this.details = options.details;
  }
}

/** Thrown by a handler: try again after this delay instead of the delay of the retry policy. */
export class RetryAfter extends Error {
  /** Milliseconds or text such as "30s". */
  readonly delay: number | string;
  readonly details: unknown;

  constructor(
    delay: number | string,
    message = "Try again later",
    options: { readonly cause?: unknown; readonly details?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RetryAfter";
    this.delay = delay;
    this.details = options.details;
  }
}

/** The text of a server ends with the remedy already; it is said once. */
function withRemedy(message: string, remedy: string | undefined): string {
  if (remedy === undefined || message.endsWith(remedy)) return message;
  return `${message.replace(/\.$/, "")}. ${remedy}`;
}
