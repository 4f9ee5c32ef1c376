import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorFromJsonBytes, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { HeadraceError, type StatusCode } from "../core/errors.js";
import type { StatusOf } from "./http-service.js";

const CODES: Readonly<Record<StatusCode, Code>> = {
  INVALID_ARGUMENT: Code.InvalidArgument,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  NOT_FOUND: Code.NotFound,
  ALREADY_EXISTS: Code.AlreadyExists,
  RESOURCE_EXHAUSTED: Code.ResourceExhausted,
  FAILED_PRECONDITION: Code.FailedPrecondition,
  ABORTED: Code.Aborted,
  UNIMPLEMENTED: Code.Unimplemented,
  INTERNAL: Code.Internal,
  UNAVAILABLE: Code.Unavailable,
};

/** The error that Connect sends. */
export function connectError(error: unknown, statusOf: StatusOf): ConnectError {
  const { code, message, details } = statusOf(error);
  const outgoing = details.map(({ desc, value }) => ({ desc, value }));
  return new ConnectError(message, CODES[code], undefined, outgoing);
}

/** A response that is only an error, as JSON. */
export function errorResponse(error: unknown, statusOf: StatusOf): UniversalServerResponse {
  const failure = connectError(error, statusOf);
  return {
    status: codeToHttpStatus(failure.code),
    header: new Headers({ "content-type": "application/json" }),
    body: once(errorToJsonBytes(failure, undefined)),
  };
}

/**
 * Gives a reason to the failures that Connect finds itself, which are all about reading the request: ours
 * carry their details already. Streams and gRPC-web have their errors in the body and pass as they are.
 */
export async function withReason(
  response: UniversalServerResponse,
  statusOf: StatusOf,
  method: string,
): Promise<UniversalServerResponse> {
  const { status, body, header } = response;
  if (status < 400) return response;
  if (body === undefined) return errorResponse(notServed(method === "GET" ? 405 : status), statusOf);
  if (header?.get("content-type") !== "application/json") return response;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const error = requestError(errorFromJsonBytes(bytes, undefined, new ConnectError(`HTTP status ${status}`)));
  return error === undefined ? { ...response, body: once(bytes) } : errorResponse(error, statusOf);
}

/** Why a request could not be read; undefined when the failure is of another kind, or has its details. */
function requestError({ code, rawMessage, details }: ConnectError): HeadraceError | undefined {
  if (details.length > 0) return undefined;
  switch (code) {
    case Code.ResourceExhausted:
      return new HeadraceError("MESSAGE_TOO_LARGE", rawMessage, { field: "request" });
    case Code.InvalidArgument:
    case Code.Internal: // What Connect calls binary data that does not parse.
      return new HeadraceError("MALFORMED_REQUEST", `The request cannot be read: ${rawMessage}.`);
    default:
      return undefined;
  }
}

function notServed(httpStatus: number): HeadraceError {
  return new HeadraceError("MALFORMED_REQUEST", NOT_SERVED[httpStatus] ?? NOT_SERVED_TYPE);
}

const NOT_SERVED_TYPE =
  "To make a call by POST, send content-type: application/json; a call that answers with a stream needs application/connect+json with enveloped messages, as clients of Connect send them.";

/** Connect's status codes of requests that it does not take. All are answered with 400. */
const NOT_SERVED: Readonly<Record<number, string>> = {
  405: "This method is called by POST; by GET only if it has no effects, and then with ?connect=v1&encoding=json&message={}.",
  505: "This call streams both ways, which HTTP/1.1 cannot; use gRPC.",
};

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
