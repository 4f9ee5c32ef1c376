import { HeadraceError } from "../core/errors.js";

/**
 * What a caller can do about a database error:
 * RETRYABLE: run the whole transaction again, at once;
 * CONNECTION_LOST: the outcome may be unknown, read again on a new connection;
 * UNIQUE_VIOLATION: see `constraintOf`; OTHER: nothing.
 */
export type SqlErrorKind = "RETRYABLE" | "CONNECTION_LOST" | "UNIQUE_VIOLATION" | "OTHER";

/** The connection broke while a statement was on its way or before one could be sent. */
export class ConnectionLostError extends Error {
  constructor(cause: unknown) {
    super(`The connection to PostgreSQL is lost: ${messageOf(cause)}`, { cause });
    this.name = "ConnectionLostError";
  }
}

const RETRYABLE = new Set(["40001", "40P01", "55P03"]);
const LOST = new Set([
  // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections
  ...["57P01", "57P02", "57P03", "53300"],
  // read_only_sql_transaction: the server we talk to was demoted
  "25006",
  // idle_session_timeout
  "57P05",
]);
const LOST_ERRNO = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENOENT", "ETIMEDOUT"],
  ...["EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN"],
]);
/** pg reports these without a code. */
const LOST_MESSAGES = [
  /^Connection terminated/,
  /^timeout expired$/,
  /^Query read timeout$/,
  /^Client has encountered a connection error/,
  /^Client was closed/,
];

/** The kind of anything that was thrown around a statement. */
export function classifySqlError(error: unknown): SqlErrorKind {
  if (error instanceof ConnectionLostError) return "CONNECTION_LOST";
  const code = codeOf(error);
  if (code === undefined) {
    const message = messageOf(error);
    return LOST_MESSAGES.some((pattern) => pattern.test(message)) ? "CONNECTION_LOST" : "OTHER";
  }
  if (RETRYABLE.has(code)) return "RETRYABLE";
  if (LOST.has(code) || LOST_ERRNO.has(code) || isConnectionException(code)) return "CONNECTION_LOST";
  return code === "23505" ? "UNIQUE_VIOLATION" : "OTHER";
}

/** Whether the connection is lost, so that the outcome may be unknown. */
export function isConnectionLost(error: unknown): boolean {
  return classifySqlError(error) === "CONNECTION_LOST";
}

/** SQLSTATE of a PostgreSQL error, or the errno name of a socket error. */
export function codeOf(error: unknown): string | undefined {
  const code = propertyOf(error, "code");
  if (code !== undefined) return code;
  // Both addresses of a host name refused: node reports one error over several.
  return error instanceof AggregateError ? codeOf(error.errors[0]) : undefined;
}

/** Name of the constraint that a row violated. */
export function constraintOf(error: unknown): string | undefined {
  return propertyOf(error, "constraint");
}

/** The text of an error; never empty. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (message !== "") return message;
  return error instanceof AggregateError && error.errors.length > 0
    ? messageOf(error.errors[0])
    : (codeOf(error) ?? "unknown error");
}

/**
 * The error that callers see. Messages of PostgreSQL can repeat what users sent, so only its code is
 * passed on; the whole error is the cause, for the log. HeadraceErrors pass unchanged.
 */
export function toHeadraceError(error: unknown): HeadraceError {
  if (error instanceof HeadraceError) return error;
  const facts = { cause: error };
  switch (classifySqlError(error)) {
    case "CONNECTION_LOST":
      return new HeadraceError("DATABASE_UNAVAILABLE", "PostgreSQL does not answer.", {
        ...facts,
        retryAfterMs: 1_000,
      });
    case "RETRYABLE":
      return new HeadraceError("DATABASE_CONTENTION", "Other transactions hold the same rows.", {
        ...facts,
        retryAfterMs: 100,
      });
    case "UNIQUE_VIOLATION":
      return new HeadraceError(
        "IDEMPOTENCY_CONFLICT",
        `A row with this key exists already (${constraintOf(error) ?? "unnamed constraint"}).`,
        facts,
      );
    case "OTHER":
      return translateCode(codeOf(error) ?? "", facts);
  }
}

function translateCode(code: string, facts: { readonly cause: unknown }): HeadraceError {
  if (["57014", "25P03", "25P04"].includes(code)) {
    return new HeadraceError(
      "DATABASE_TIMEOUT",
      `PostgreSQL ended the statement (${code}): it took too long.`,
      {
        ...facts,
        retryAfterMs: 1_000,
      },
    );
  }
  if (code === "53100" || code === "53200") {
    const what = code === "53100" ? "disk space" : "memory";
    return new HeadraceError("OVERLOADED", `PostgreSQL has no ${what} left.`, {
      ...facts,
      retryAfterMs: 5_000,
    });
  }
  if (/^(22|54)/.test(code)) {
    return new HeadraceError("MALFORMED_REQUEST", `PostgreSQL cannot store a value (${code}).`, facts);
  }
  // 42501 included: no row is hidden by row-level security, so a missing permission is ours to repair.
  const suffix = code === "" ? "" : ` (${code})`;
  return new HeadraceError("INTERNAL", `An unexpected error occurred in the store${suffix}.`, facts);
}

function isConnectionException(code: string): boolean {
  return code.length === 5 && code.startsWith("08");
}

function propertyOf(error: unknown, name: "code" | "constraint"): string | undefined {
  if (typeof error !== "object" || error === null || !(name in error)) return undefined;
  const value = (error as Record<string, unknown>)[name];
  return typeof value === "string" ? value : undefined;
}
