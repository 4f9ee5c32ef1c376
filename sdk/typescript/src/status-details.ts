import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { Metadata, status as Status } from "@grpc/grpc-js";

import type { ErrorFacts } from "./errors.js";
import { HeadraceError } from "./errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/** How a call ended, as the gRPC library tells it. */
export interface CallStatus {
  readonly code: Status;
  readonly details: string;
  readonly metadata?: Metadata;
}

/**
 * The error of a call that did not end with OK. `reason` is the server's, or the name of the gRPC
 * status when the server did not answer itself (a lost connection, a passed deadline).
 */
export function statusError(status: CallStatus, what: string): HeadraceError {
  const code = codeName(status.code);
  const details = readDetails(status.metadata);
  if (details !== undefined) {
    return new HeadraceError(details.reason, status.details, { ...details.facts, code, cause: undefined });
  }
  return new HeadraceError(code, `${what} failed: ${status.details}`, {
    code,
    retryable: status.code === Status.UNAVAILABLE,
  });
}

/** The error of a start that was refused inside of a stream of starts. */
export function startError(error: {
  code: number;
  reason: string;
  message: string;
  field: string;
}): HeadraceError {
  return new HeadraceError(error.reason, error.message, {
    code: codeName(error.code),
    field: error.field === "" ? undefined : error.field,
    retryable: codeName(error.code) === "UNAVAILABLE" || error.reason === "OVERLOADED",
  });
}

function codeName(code: number): string {
  return Status[code] ?? `STATUS_${code}`;
}

function readDetails(metadata: Metadata | undefined): { reason: string; facts: ErrorFacts } | undefined {
  const [bytes] = metadata?.get("grpc-status-details-bin") ?? [];
  if (bytes === undefined || typeof bytes === "string") return undefined;
  let facts: ErrorFacts = {};
  let reason: string | undefined;
  for (const any of fromBinary(StatusSchema, bytes).details) {
    const info = anyUnpack(any, ErrorInfoSchema);
    if (info !== undefined) {
      reason = info.reason;
      facts = { ...facts, ...factsOf(info.metadata) };
    }
    const violations = anyUnpack(any, BadRequestSchema)?.fieldViolations;
    if (violations !== undefined) {
      facts = {
        ...facts,
        violations: violations.map(({ field, reason, description }) => ({
          field,
          reason,
          message: description,
        })),
      };
    }
    const delay = anyUnpack(any, RetryInfoSchema)?.retryDelay;
    if (delay !== undefined) facts = { ...facts, retryAfterMs: durationMs(delay) };
  }
  return reason === undefined ? undefined : { reason, facts };
}

function factsOf(metadata: Readonly<Record<string, string>>): ErrorFacts {
  return {
    field: metadata["field"],
    limit: metadata["limit"],
    actual: metadata["actual"],
    remedy: metadata["remedy"],
    retryable: metadata["retryable"] === "true",
  };
}
