import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, status as GrpcCode, type StatusObject } from "@grpc/grpc-js";
import { HeadraceError } from "../core/errors.js";
import type { Log } from "../engine/log.js";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";
import { GRPC_CODES, statusOf, type CallStatus } from "./status.js";

const DETAILS_KEY = "grpc-status-details-bin";

/** The status with which a gRPC call ends that failed with the error. */
export function grpcStatusOf(error: unknown, log: Log): StatusObject {
  const status = statusOf(error, log);
  return { code: GrpcCode[status.code], details: status.message, metadata: detailsMetadata(status) };
}

function detailsMetadata({ code, message, details }: CallStatus): Metadata {
  const metadata = new Metadata();
  if (details.length === 0) return metadata;
  const packed = details.map(({ desc, value }) => anyPack(desc, create(desc, value)));
  const bytes = toBinary(
    StatusSchema,
    create(StatusSchema, { code: GRPC_CODES[code], message, details: packed }),
  );
  metadata.set(DETAILS_KEY, Buffer.from(bytes));
  return metadata;
}

type PlainStatus = Pick<StatusObject, "code" | "details"> & { metadata?: Metadata | null | undefined };

/**
 * The status that leaves instead of one that grpc-js made itself, which has no reason. What its text
 * tells of the request becomes a HeadraceError; anything else passes.
 */
export function withReason(status: PlainStatus, log: Log): PlainStatus {
  const isOurs = status.metadata?.get(DETAILS_KEY).length;
  if (isOurs || status.code === GrpcCode.OK) return status;
  const error = ownError(status);
  return error === undefined ? status : grpcStatusOf(error, log);
}

function ownError({ code, details }: PlainStatus): Error | undefined {
  if (code === GrpcCode.RESOURCE_EXHAUSTED) return messageTooLarge(details);
  if (code !== GrpcCode.INTERNAL) return undefined;
  const isRequestFault = /decompress|grpc-timeout/.test(details);
  if (isRequestFault)
    return new HeadraceError("MALFORMED_REQUEST", `The request cannot be read: ${details}.`);
  return new Error(`the gRPC library ended a call: ${details}`);
}

function messageTooLarge(details: string): HeadraceError {
  const [, actual, limit] = /\((\d+) vs\.? (\d+)\)/.exec(details) ?? [];
  const isSent = details.startsWith("Sent");
  return new HeadraceError("MESSAGE_TOO_LARGE", isSent ? `The answer is too large. ${details}` : details, {
    field: isSent ? "response" : "request",
    ...(actual !== undefined && { actual: Number(actual) }),
    ...(limit !== undefined && { limit: Number(limit) }),
  });
}
