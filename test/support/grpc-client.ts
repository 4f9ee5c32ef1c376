import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { anyIs, anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  Client,
  credentials,
  status as GrpcCode,
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  type ClientDuplexStream,
  type Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
  type BadRequest,
  type ErrorInfo,
  type QuotaFailure,
  type RetryInfo,
} from "../../server/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../server/gen/google/rpc/status_pb.js";
import { EventLog } from "./event-log.js";

type Shape<
  S extends DescService,
  Name extends keyof S["method"],
  Side extends "input" | "output",
> = MessageShape<S["method"][Name][Side]>;
type Init<S extends DescService, Name extends keyof S["method"]> = MessageInitShape<
  S["method"][Name]["input"]
>;

/** A promise client of one service over grpc-js, for tests. */
export class GrpcClient<S extends DescService> {
  readonly #service: S;
  readonly raw: Client;

  constructor(service: S, address: string, options: ChannelOptions = {}, creds?: ChannelCredentials) {
    this.#service = service;
    this.raw = new Client(address, creds ?? credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  unary<Name extends keyof S["method"] & string>(
    name: Name,
    request: Init<S, Name> | Buffer,
    options: CallOptions & { metadata?: Metadata } = {},
  ): Promise<Shape<S, Name, "output">> {
    const { path, encode, decode } = this.#method(name);
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, value?: unknown): void => {
        if (error === null) resolve(value as Shape<S, Name, "output">);
        else reject(error);
      };
      const { metadata, ...rest } = options;
      if (metadata === undefined) this.raw.makeUnaryRequest(path, encode, decode, request, rest, done);
      else this.raw.makeUnaryRequest(path, encode, decode, request, metadata, rest, done);
    });
  }

  serverStream<Name extends keyof S["method"] & string>(
    name: Name,
    request: Init<S, Name>,
  ): AsyncIterable<Shape<S, Name, "output">> & { cancel(): void } {
    const { path, encode, decode } = this.#method(name);
    return this.raw.makeServerStreamRequest(path, encode, decode, request) as never;
  }

  duplex<Name extends keyof S["method"] & string>(
    name: Name,
  ): TestDuplex<Init<S, Name> | Buffer, Shape<S, Name, "output">> {
    const { path, encode, decode } = this.#method(name);
    return new TestDuplex(this.raw.makeBidiStreamRequest(path, encode, decode) as never);
  }

  close(): void {
    this.raw.close();
  }

  #method(name: string): {
    path: string;
    encode: (value: unknown) => Buffer;
    decode: (bytes: Buffer) => unknown;
  } {
    const method = this.#service.method[name] as DescMethod;
    return {
      path: `/${method.parent.typeName}/${method.name}`,
      // A Buffer goes as it is, so that tests can send what no client would.
      encode: (value) =>
        Buffer.isBuffer(value)
          ? value
          : Buffer.from(toBinary(method.input, create(method.input, value as never))),
      decode: (bytes) => fromBinary(method.output, bytes),
    };
  }
}

/** A bidirectional call whose messages and end a test waits for. */
export class TestDuplex<I, O> {
  readonly received = new EventLog<O>();
  readonly ended: Promise<StatusObject>;
  readonly call: ClientDuplexStream<I, O>;

  constructor(call: ClientDuplexStream<I, O>) {
    this.call = call;
    call.on("data", (message: O) => this.received.push(message));
    call.on("error", () => undefined); // The status tells the same.
    this.ended = new Promise((resolve) => call.on("status", resolve));
  }

  send(message: I): void {
    this.call.write(message);
  }
}

export interface FailedCall {
  readonly code: number;
  readonly text: string;
  readonly info: ErrorInfo;
  readonly badRequest: BadRequest | undefined;
  readonly retryInfo: RetryInfo | undefined;
  readonly quotaFailure: QuotaFailure | undefined;
}

/** What a failed call tells, details decoded. Throws when there is no ErrorInfo. */
export function failureOf(status: Pick<StatusObject, "code" | "details" | "metadata">): FailedCall {
  const [bytes] = status.metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Buffer)) throw new Error(`no details: ${GrpcCode[status.code]} ${status.details}`);
  const { details, code, message } = fromBinary(StatusSchema, bytes);
  const codeNumber: number = status.code;
  if (code !== codeNumber || message !== status.details) {
    throw new Error("details contradict the status");
  }
  const find = <D extends DescMessage>(schema: D): MessageShape<D> | undefined => {
    const packed = details.find((any) => anyIs(any, schema));
    return packed && anyUnpack(packed, schema);
  };
  const info = find(ErrorInfoSchema);
  if (info === undefined) throw new Error("no ErrorInfo");
  return {
    code,
    text: status.details,
    info,
    badRequest: find(BadRequestSchema),
    retryInfo: find(RetryInfoSchema),
    quotaFailure: find(QuotaFailureSchema),
  };
}
