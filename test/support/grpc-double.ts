import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import {
  Metadata,
  Server,
  ServerCredentials,
  type status as Status,
  type ServerErrorResponse,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema } from "../../server/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../server/gen/google/rpc/status_pb.js";

/** A scripted method of the double. */
export interface ScriptedMethod {
  readonly path: string;
  readonly desc: DescMethodUnary | DescMethodServerStreaming;
  readonly implementation: UntypedServiceImplementation[string];
}

interface Caller {
  readonly metadata: Metadata;
}

/** Answers a unary call; what the answer throws by `refusal` becomes the status. */
export function unary<I extends DescMessage, O extends DescMessage>(
  desc: DescMethodUnary<I, O>,
  answer: (request: MessageShape<I>, caller: Caller) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
): ScriptedMethod {
  const implementation = (
    call: ServerUnaryCall<MessageShape<I>, MessageShape<O>>,
    done: (error: ServerErrorResponse | null, response?: MessageShape<O>) => void,
  ): void => {
    void (async () => answer(call.request, call))().then(
      (response) => done(null, create(desc.output, response)),
      (error: unknown) => done(error as ServerErrorResponse),
    );
  };
  return { path: pathOf(desc), desc, implementation: implementation as UntypedServiceImplementation[string] };
}

/** Answers a server stream with the messages of a generator; what it throws by `refusal` ends the stream. */
export function stream<I extends DescMessage, O extends DescMessage>(
  desc: DescMethodServerStreaming<I, O>,
  answer: (request: MessageShape<I>, signal: AbortSignal) => AsyncIterable<MessageInitShape<O>>,
): ScriptedMethod {
  const implementation = (call: ServerWritableStream<MessageShape<I>, MessageShape<O>>): void => {
    const controller = new AbortController();
    call.on("cancelled", () => controller.abort());
    void (async () => {
      for await (const message of answer(call.request, controller.signal))
        call.write(create(desc.output, message));
    })().then(
      () => call.end(),
      (error: unknown) => call.emit("error", error),
    );
  };
  return { path: pathOf(desc), desc, implementation: implementation as UntypedServiceImplementation[string] };
}

/** A server that answers as scripted, on a port of its own or the given one. */
export async function startDouble(
  methods: readonly ScriptedMethod[],
  port = 0,
  credentials = ServerCredentials.createInsecure(),
): Promise<{ address: string; port: number; stop(): void }> {
  const server = new Server();
  for (const { path, desc, implementation } of methods) {
    server.addService(
      {
        [desc.localName]: {
          path,
          requestStream: false,
          responseStream: desc.methodKind === "server_streaming",
          requestSerialize: (message: MessageShape<DescMessage>) =>
            Buffer.from(toBinary(desc.input, message)),
          requestDeserialize: (bytes: Buffer) => fromBinary(desc.input, bytes),
          responseSerialize: (message: MessageShape<DescMessage>) =>
            Buffer.from(toBinary(desc.output, message)),
          responseDeserialize: (bytes: Buffer) => fromBinary(desc.output, bytes),
        },
      },
      { [desc.localName]: implementation as never },
    );
  }
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, actual) =>
      error === null ? resolve(actual) : reject(error),
    );
  });
  return { address: `127.0.0.1:${bound}`, port: bound, stop: () => server.forceShutdown() };
}

export interface RefusalFacts {
  readonly reason?: string;
  readonly metadata?: Record<string, string>;
  readonly violations?: ReadonlyArray<{ field: string; reason: string; description: string }>;
}

/** An error with the details of google.rpc.Status, as the server sends them. */
export function refusal(code: Status, message: string, facts: RefusalFacts = {}): ServerErrorResponse {
  const metadata = new Metadata();
  const { reason, metadata: info = {}, violations } = facts;
  const details = [];
  if (reason !== undefined) {
    details.push(
      anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: "headrace", metadata: info })),
    );
  }
  if (violations !== undefined) {
    const request = create(BadRequestSchema, { fieldViolations: [...violations] });
    details.push(anyPack(BadRequestSchema, request));
  }
  const status = toBinary(StatusSchema, create(StatusSchema, { code, message, details }));
  if (details.length > 0) metadata.set("grpc-status-details-bin", Buffer.from(status));
  return Object.assign(new Error(message), { code, details: message, metadata });
}

function pathOf(desc: DescMethodUnary | DescMethodServerStreaming): string {
  return `/${desc.parent.typeName}/${desc.name}`;
}
