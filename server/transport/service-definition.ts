import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { HeadraceError } from "../core/errors.js";

/** A request that does not parse. It travels as a value, because grpc-js answers an exception with INTERNAL. */
export class UnreadableMessage {
  readonly error: HeadraceError;

  constructor(desc: DescMessage, cause: unknown) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    this.error = new HeadraceError("MALFORMED_REQUEST", `The message is no ${desc.typeName}: ${problem}.`, {
      cause,
    });
  }
}

/** What grpc-js hands to a handler as a request. */
export type Incoming = Message | UnreadableMessage;

/** The service as grpc-js wants it. */
export function serviceDefinition(desc: DescService): ServiceDefinition {
  return Object.fromEntries(desc.methods.map((method) => [method.localName, methodDefinition(method)]));
}

function methodDefinition(method: DescMethod): MethodDefinition<Incoming, object> {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: (value) => encode(input, value),
    requestDeserialize: (bytes) => decode(input, bytes),
    responseSerialize: (value) => encode(output, value),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

function decode(desc: DescMessage, bytes: Uint8Array): Incoming {
  try {
    return fromBinary(desc, bytes);
  } catch (error) {
    return new UnreadableMessage(desc, error);
  }
}

/** A complete message is encoded as it is; an initialiser is completed first. */
function encode(desc: DescMessage, value: object): Buffer {
  const bytes = toBinary(desc, create(desc, value as Record<string, unknown>));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
