import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { status, type ServiceError } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";
import { lineProblem } from "./line-problem.js";
import { CliError, EXIT, type CliErrorFacts, type ExitCode } from "./cli-error.js";

const EXIT_OF_STATUS: Readonly<Partial<Record<status, ExitCode>>> = {
  [status.CANCELLED]: EXIT.interrupted,
  [status.UNKNOWN]: EXIT.internal,
  [status.INVALID_ARGUMENT]: EXIT.usage,
  [status.DEADLINE_EXCEEDED]: EXIT.unreachable,
  [status.NOT_FOUND]: EXIT.notFound,
  [status.OUT_OF_RANGE]: EXIT.usage,
  [status.INTERNAL]: EXIT.internal,
  [status.UNAVAILABLE]: EXIT.unreachable,
  [status.DATA_LOSS]: EXIT.internal,
};

/** What a failed call means for the command: exit code, and the facts the server gave in its details. */
export function fromServiceError(error: unknown, address: string): CliError {
  if (!isServiceError(error)) throw error;
  const facts = factsOf(error);
  const exitCode = EXIT_OF_STATUS[error.code] ?? EXIT.refused;
  if (facts.reason === undefined) return withoutDetails(error, exitCode, address);
  return new CliError(exitCode, withoutRemedy(error.details, facts.remedy), { ...facts, cause: error });
}

/** The server's message ends with the remedy, for clients that see nothing else; here it has its own line. */
function withoutRemedy(message: string, remedy: string | undefined): string {
  return remedy !== undefined && message.endsWith(remedy)
    ? message.slice(0, -remedy.length).trimEnd()
    : message;
}

/** An error that the server did not make itself: the line to it, or something in between. */
function withoutDetails(error: ServiceError, exitCode: ExitCode, address: string): CliError {
  const reason = status[error.code];
  if (error.code === status.CANCELLED) {
    return new CliError(exitCode, "interrupted", { reason, cause: error });
  }
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new CliError(exitCode, `the server at ${address} did not answer in time`, {
      reason,
      remedy: "try again; see the server's log if it stays so",
      retryable: true,
      cause: error,
    });
  }
  if (error.code === status.UNAVAILABLE) {
    const { what, remedy } = lineProblem(error.details);
    return new CliError(exitCode, `no server can be reached at ${address}: ${what}`, {
      reason,
      remedy,
      retryable: true,
      cause: error,
    });
  }
  if (error.code === status.UNIMPLEMENTED) {
    return new CliError(exitCode, `the server at ${address} does not know this call: ${error.details}`, {
      reason,
      remedy: "check that it is a Headrace server and of a version that has the call",
      cause: error,
    });
  }
  return new CliError(exitCode, `${error.details} (${reason})`, { reason, cause: error });
}

function factsOf(error: ServiceError): CliErrorFacts {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Uint8Array)) return {};
  const facts: { -readonly [K in keyof CliErrorFacts]: CliErrorFacts[K] } = {};
  for (const detail of fromBinary(StatusSchema, bytes).details) {
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info !== undefined) {
      const { field, limit, actual, remedy, retryable } = info.metadata;
      facts.reason = info.reason;
      if (field !== undefined) facts.field = field;
      if (limit !== undefined) facts.limit = limit;
      if (actual !== undefined) facts.actual = actual;
      if (remedy !== undefined) facts.remedy = remedy;
      if (retryable !== undefined) facts.retryable = retryable === "true";
    }
    const request = anyUnpack(detail, BadRequestSchema);
    if (request !== undefined) {
      facts.violations = request.fieldViolations.map(({ field, reason, description }) => ({
        field,
        reason,
        message: description,
      }));
    }
  }
  return facts;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}
