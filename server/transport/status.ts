import { randomUUID } from "node:crypto";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { HeadraceError, type StatusCode, type Violation } from "../core/errors.js";
import type { Log } from "../engine/log.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { durationOf } from "./convert-time.js";

/** The numbers that gRPC gives its status codes. */
export const GRPC_CODES: Readonly<Record<StatusCode, number>> = {
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
};

/** Who defines the reasons, in each ErrorInfo. */
export const ERROR_DOMAIN = "headrace";

/** Trailers travel as headers, of which some clients take no more than 8 KiB, so what is long is cut. */
const MESSAGE_BYTES_MAX = 800;
const DESCRIPTION_BYTES_MAX = 400;
const FACT_BYTES_MAX = 250;
const VIOLATIONS_BYTES_MAX = 2_500;

/** A status detail: a message type and its value, as google.rpc.Status carries them in Any. */
export interface StatusDetail {
  readonly desc: DescMessage;
  readonly value: Record<string, unknown>;
}

/** How a call failed, for every protocol. */
export interface CallStatus {
  readonly code: StatusCode;
  readonly message: string;
  readonly details: readonly StatusDetail[];
}

/** A failure of a protocol that others define, which has no reason of ours. */
export class ForeignError extends Error {
  readonly code: StatusCode;

  constructor(code: StatusCode, message: string) {
    super(message);
    this.name = "ForeignError";
    this.code = code;
  }
}

/**
 * The status of any error. What is not a HeadraceError is logged with its stack and answered as INTERNAL
 * with the id of the log entry and nothing else.
 */
export function statusOf(error: unknown, log: Log): CallStatus {
  if (error instanceof HeadraceError) return headraceStatus(error);
  if (error instanceof ForeignError) {
    return { code: error.code, message: clean(error.message, MESSAGE_BYTES_MAX), details: [] };
  }
  const errorId = randomUUID();
  log.error({ errorId, err: error }, "a call failed inside the server");
  return headraceStatus(new HeadraceError("INTERNAL", `The server failed; its log has error ${errorId}.`));
}

function headraceStatus(error: HeadraceError): CallStatus {
  return {
    code: error.code,
    message: statusText(error),
    details: [errorInfo(error), ...badRequest(error), ...quotaFailure(error), ...retryInfo(error)],
  };
}

/** What is wrong and what to do, in one text. */
export function statusText(error: HeadraceError): string {
  const what = /[.!?]$/.test(error.message) ? error.message : `${error.message}.`;
  return `${clean(what, MESSAGE_BYTES_MAX)} ${error.remedy}`;
}

function errorInfo(error: HeadraceError): StatusDetail {
  const { field, limit, actual } = error.facts;
  const metadata: Record<string, string> = { remedy: error.remedy, retryable: String(error.retryable) };
  if (field !== undefined) metadata.field = clean(field, FACT_BYTES_MAX);
  if (limit !== undefined) metadata.limit = clean(String(limit), FACT_BYTES_MAX);
  if (actual !== undefined) metadata.actual = clean(String(actual), FACT_BYTES_MAX);
  return detail(ErrorInfoSchema, { reason: error.reason, domain: ERROR_DOMAIN, metadata });
}

function badRequest(error: HeadraceError): StatusDetail[] {
  const violations = violationsOf(error);
  if (violations.length === 0) return [];
  const fieldViolations = [];
  let bytes = 0;
  for (const [index, { field, reason, message }] of violations.entries()) {
    const violation = {
      field: clean(field, FACT_BYTES_MAX),
      reason,
      description: clean(message, DESCRIPTION_BYTES_MAX),
    };
    bytes += Buffer.byteLength(violation.field) + reason.length + Buffer.byteLength(violation.description);
    if (bytes > VIOLATIONS_BYTES_MAX && index > 0) {
      const description = `${violations.length - index} more are not listed; correct these first.`;
      fieldViolations.push({ field: "", reason: "MORE", description });
      break;
    }
    fieldViolations.push(violation);
  }
  return [detail(BadRequestSchema, { fieldViolations })];
}

function violationsOf(error: HeadraceError): readonly Violation[] {
  const { violations, field } = error.facts;
  if (violations !== undefined && violations.length > 0) return violations;
  if (field === undefined || error.code !== "INVALID_ARGUMENT") return [];
  return [{ field, reason: error.reason, message: error.message }];
}

function quotaFailure(error: HeadraceError): StatusDetail[] {
  if (error.code !== "RESOURCE_EXHAUSTED") return [];
  const description = clean(error.message, DESCRIPTION_BYTES_MAX);
  return [detail(QuotaFailureSchema, { violations: [{ subject: error.facts.field ?? "", description }] })];
}

function retryInfo(error: HeadraceError): StatusDetail[] {
  const { retryAfterMs } = error.facts;
  return retryAfterMs === undefined
    ? []
    : [detail(RetryInfoSchema, { retryDelay: durationOf(retryAfterMs) })];
}

function detail<D extends DescMessage>(desc: D, value: MessageInitShape<D>): StatusDetail {
  return { desc, value: value };
}

/** Well-formed Unicode without control characters, at most so many bytes; a header can carry nothing else. */
function clean(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  const isCut = bytes.length > maxBytes;
  const kept = isCut
    ? bytes
        .subarray(0, maxBytes)
        .toString()
        .replace(/\ufffd$/, "…")
    : bytes.toString();
  return kept.replace(/[\u0000-\u001f\u007f]/g, " ");
}
