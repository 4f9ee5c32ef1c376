import { HeadraceError, type Violation } from "../core/errors.js";
import type { Style } from "./style.js";

/** Exit codes of `headrace`. */
export const EXIT = {
  ok: 0,
  notCompleted: 1,
  usage: 2,
  notFound: 3,
  unreachable: 4,
  refused: 5,
  internal: 70,
  unwritable: 74,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What each exit code tells, for help and docs. */
export const EXIT_CODE_MEANINGS: ReadonlyArray<readonly [ExitCode, string]> = [
  [EXIT.ok, "done"],
  [
    EXIT.notCompleted,
    "the execution failed, was cancelled, timed out or was not waited for; migrations are pending",
  ],
  [EXIT.usage, "wrong usage, invalid input or configuration"],
  [EXIT.notFound, "the workflow, execution or task does not exist"],
  [EXIT.unreachable, "the server cannot be reached or is not ready"],
  [EXIT.refused, "the server refused the call, or it conflicts with what exists"],
  [EXIT.internal, "an internal error"],
  [EXIT.unwritable, "the output cannot be written, such as to a full disk"],
  [EXIT.interrupted, "interrupted"],
];

/** What is known of an error besides its message. */
export interface CliErrorFacts {
  /** Stable, UPPER_SNAKE_CASE. */
  readonly reason?: string;
  readonly field?: string;
  readonly limit?: string;
  readonly actual?: string;
  readonly violations?: readonly Violation[];
  /** What to do. */
  readonly remedy?: string;
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/** An error that ends a command: printed to stderr, then the process exits with its code. */
export class CliError extends Error {
  readonly exitCode: ExitCode;
  readonly facts: CliErrorFacts;

  constructor(exitCode: ExitCode, message: string, facts: CliErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "CliError";
    this.exitCode = exitCode;
    this.facts = facts;
  }
}

/** Something the user wrote is wrong; the remedy says what to write. */
export function usageError(message: string, remedy: string): CliError {
  return new CliError(EXIT.usage, message, { reason: "USAGE", remedy });
}

/** Any error as one that can be printed. */
export function toCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof HeadraceError) return fromHeadraceError(error);
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CliError(EXIT.internal, message, {
    reason: "INTERNAL",
    remedy: "this is a defect of headrace; please report it with the text above",
    cause: error,
  });
}

const EXIT_OF_CODE: Readonly<Partial<Record<HeadraceError["code"], ExitCode>>> = {
  INVALID_ARGUMENT: EXIT.usage,
  NOT_FOUND: EXIT.notFound,
  UNAVAILABLE: EXIT.unreachable,
  INTERNAL: EXIT.internal,
};

function fromHeadraceError(error: HeadraceError): CliError {
  const { field, limit, actual, violations } = error.facts;
  return new CliError(EXIT_OF_CODE[error.code] ?? EXIT.refused, error.message, {
    reason: error.reason,
    remedy: error.remedy,
    retryable: error.retryable,
    ...(field === undefined ? {} : { field }),
    ...(limit === undefined ? {} : { limit: String(limit) }),
    ...(actual === undefined ? {} : { actual: String(actual) }),
    ...(violations === undefined ? {} : { violations }),
    cause: error,
  });
}

/** What is wrong, its facts, each violation, and after an arrow what to do. */
export function errorText(error: CliError, style: Style): string {
  const { field, limit, actual, violations = [], remedy } = error.facts;
  const facts = Object.entries({ field, limit, actual })
    .filter(([name, value]) => value !== undefined && value !== "" && !saysFact(error.message, name, value))
    .map(([name, value]) => `${name} ${value ?? ""}`);
  const lines = [`${style.red("error:")} ${error.message}`];
  if (facts.length > 0) lines.push(`  ${facts.join(", ")}`);
  // A single violation usually says what the message has said.
  const isTold = violations.length === 1 && error.message.includes(violations[0]?.message ?? "");
  for (const { field: path, message } of isTold ? [] : violations) {
    lines.push(message.startsWith(path) ? `  - ${message}` : `  - ${style.bold(path)}: ${message}`);
  }
  if (remedy !== undefined && remedy !== "") lines.push(`${style.cyan("→")} ${remedy}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** Whether the sentence names a field, or has a value, so that nobody needs to read it twice. */
function saysFact(message: string, name: string, value: string): boolean {
  const words = name === "field" ? value.replaceAll(/[_.]/g, " ") : value;
  const escaped = words.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return new RegExp(`(?<![\\w.-])${escaped}(?![\\w-]|\\.\\d)`, "i").test(message);
}

/** One line of JSON with the same content. */
export function errorJson(error: CliError): string {
  // JSON leaves out what is undefined; the cause is for debugging and may hold anything.
  const facts = { ...error.facts, cause: undefined };
  return `${JSON.stringify({ error: { message: error.message, ...facts, exitCode: error.exitCode } })}\n`;
}
