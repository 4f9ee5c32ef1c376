/** A wrong field of a request. */
export interface Violation {
  /** Path such as "tasks[3].depends_on[0]". */
  readonly field: string;
  readonly reason: string;
  readonly message: string;
}

/** The canonical gRPC status names that the server answers with. */
export type StatusCode =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "FAILED_PRECONDITION"
  | "RESOURCE_EXHAUSTED"
  | "ABORTED"
  | "DEADLINE_EXCEEDED"
  | "UNIMPLEMENTED"
  | "UNAVAILABLE"
  | "INTERNAL";

interface ReasonInfo {
  readonly code: StatusCode;
  /** Whether the same call can succeed later without being changed. */
  readonly retryable: boolean;
  /** What to do, for people. */
  readonly remedy: string;
}

/** Every reason that a call can fail with. server/docs/errors.md lists the same, and a test compares. */
export const REASONS = {
  MALFORMED_REQUEST: {
    code: "INVALID_ARGUMENT",
    retryable: false,
    remedy: "Send a message that follows proto/headrace/v1; regenerate the client if its contract is old.",
  },
  INVALID_FIELD: {
    code: "INVALID_ARGUMENT",
    retryable: false,
    remedy: "Correct what the message names.",
  },
  INVALID_WORKFLOW: {
    code: "INVALID_ARGUMENT",
    retryable: false,
    remedy: "Correct every problem that is named, then put the workflow again.",
  },
  INVALID_INPUT: {
    code: "INVALID_ARGUMENT",
    retryable: false,
    remedy: "Send an input that satisfies the input schema of the workflow.",
  },
  PAYLOAD_TOO_LARGE: {
    code: "INVALID_ARGUMENT",
    retryable: false,
    remedy: "Store the data elsewhere and pass a reference, or raise HEADRACE_MAX_PAYLOAD_BYTES.",
  },
  MESSAGE_TOO_LARGE: {
    code: "RESOURCE_EXHAUSTED",
    retryable: false,
    remedy: "Send fewer or smaller items in one message, or raise HEADRACE_MAX_MESSAGE_BYTES.",
  },
  NOT_SUPPORTED_YET: {
    code: "UNIMPLEMENTED",
    retryable: false,
    remedy: "Leave the field or call out; it is part of the contract and a later version implements it.",
  },
  NAMESPACE_NOT_FOUND: {
    code: "NOT_FOUND",
    retryable: false,
    remedy: "Correct the namespace, or put a workflow into it first, which creates it.",
  },
  WORKFLOW_NOT_FOUND: {
    code: "NOT_FOUND",
    retryable: false,
    remedy: "Put the workflow first, or correct the name or the namespace.",
  },
  VERSION_NOT_FOUND: {
    code: "NOT_FOUND",
    retryable: false,
    remedy: "List the versions of the workflow and use one of them, or leave the version empty.",
  },
  EXECUTION_NOT_FOUND: {
    code: "NOT_FOUND",
    retryable: false,
    remedy: "Correct the execution id or the namespace; retention may have removed the execution.",
  },
  TASK_NOT_FOUND: {
    code: "NOT_FOUND",
    retryable: false,
    remedy: "List the tasks of the execution and use one of their ids.",
  },
  SESSION_NOT_FOUND: {
    code: "NOT_FOUND",
    retryable: false,
    remedy:
      "Poll with an empty session id to open a new session; attempts of the old one are handed out again.",
  },
  IDEMPOTENCY_CONFLICT: {
    code: "ALREADY_EXISTS",
    retryable: false,
    remedy: "Use another idempotency key or execution id for another request.",
  },
  PROTOCOL_VIOLATION: {
    code: "FAILED_PRECONDITION",
    retryable: false,
    remedy: "Follow the order of messages in sdk/SPEC.md; this stream is closed.",
  },
  DELIVERY_NOT_ACKNOWLEDGED: {
    code: "ABORTED",
    retryable: true,
    remedy: "Reconnect and resume; acknowledge frames by sending the number of the last one received.",
  },
  SESSION_REPLACED: {
    code: "ABORTED",
    retryable: false,
    remedy: "The session was resumed on another stream; this one is closed.",
  },
  WAIT_OVER: {
    code: "DEADLINE_EXCEEDED",
    retryable: true,
    remedy: "Wait again; the execution goes on meanwhile.",
  },
  OVERLOADED: {
    code: "RESOURCE_EXHAUSTED",
    retryable: true,
    remedy: "Wait for the time that the error tells, then try again.",
  },
  DRAINING: {
    code: "UNAVAILABLE",
    retryable: true,
    remedy: "Connect to another replica, or again in a moment.",
  },
  DATABASE_UNAVAILABLE: {
    code: "UNAVAILABLE",
    retryable: true,
    remedy:
      "Send the same request again, with the same execution id or idempotency key; the server goes on as soon as PostgreSQL answers.",
  },
  DATABASE_CONTENTION: {
    code: "ABORTED",
    retryable: true,
    remedy: "Try again; nothing was changed, because other transactions held the same rows for too long.",
  },
  DATABASE_TIMEOUT: {
    code: "DEADLINE_EXCEEDED",
    retryable: true,
    remedy: "Try again later or ask for less; PostgreSQL did not finish within its time limit.",
  },
  DATABASE_UNUSABLE: {
    code: "FAILED_PRECONDITION",
    retryable: false,
    remedy: "Correct what the message names, then start the server again.",
  },
  DATA_DIR_IN_USE: {
    code: "FAILED_PRECONDITION",
    retryable: false,
    remedy: "Use the server that is running, stop it first, or choose another data directory.",
  },
  INTERNAL: {
    code: "INTERNAL",
    retryable: false,
    remedy: "Report it with the message and the server's log of that moment.",
  },
} as const satisfies Record<string, ReasonInfo>;

export type Reason = keyof typeof REASONS;

/** What a program may want to know of a refusal besides its reason. */
export interface ErrorFacts {
  /** Path of the field that is wrong. */
  readonly field?: string;
  readonly limit?: number | string;
  readonly actual?: number | string;
  /** More than one thing is wrong, or its place has a path. */
  readonly violations?: readonly Violation[];
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** The one error type that callers see. The message says what is wrong, the reason's remedy what to do. */
export class HeadraceError extends Error {
  readonly reason: Reason;
  readonly facts: ErrorFacts;

  constructor(reason: Reason, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "HeadraceError";
    this.reason = reason;
    this.facts = facts;
  }

  get code(): StatusCode {
    return REASONS[this.reason].code;
  }

  get retryable(): boolean {
    return REASONS[this.reason].retryable;
  }

  get remedy(): string {
    return REASONS[this.reason].remedy;
  }
}
