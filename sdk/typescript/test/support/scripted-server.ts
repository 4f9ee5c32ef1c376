import type { DescMessage, DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import type { ServerDuplexStream, ServerWritableStream, UntypedServiceImplementation } from "@grpc/grpc-js";
import { Metadata, Server, ServerCredentials, status as Status } from "@grpc/grpc-js";

import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.js";
import type {
  StreamExecutionsRequest,
  StreamExecutionsResponse,
} from "../../src/gen/headrace/v1/execution_service_pb.js";
import { ExecutionService } from "../../src/gen/headrace/v1/execution_service_pb.js";
import { WorkerService } from "../../src/gen/headrace/v1/worker_service_pb.js";
import { WorkflowService } from "../../src/gen/headrace/v1/workflow_service_pb.js";
import type { ConnectCall } from "./worker-link.js";
import { WorkerLink } from "./worker-link.js";
import { Inbox } from "./inbox.js";

/** A refusal with the details that a server sends. */
export class Refusal extends Error {
  readonly code: Status;
  readonly details: string;
  readonly metadata = new Metadata();

  constructor(code: Status, reason: string, message: string, facts: Record<string, string> = {}) {
    super(message);
    this.code = code;
    this.details = message;
    const info = create(ErrorInfoSchema, { reason, domain: "headrace", metadata: facts });
    const status = create(StatusSchema, { code, message, details: [anyPack(ErrorInfoSchema, info)] });
    this.metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  }
}

export type StartCall = ServerDuplexStream<StreamExecutionsRequest, StreamExecutionsResponse>;

type Unary = (request: never) => unknown;

/** A server whose answers the test decides. */
export class ScriptedServer {
  readonly port: number;
  /** Worker streams, each once its hello has arrived. */
  readonly links = new Inbox<WorkerLink>();
  /** Streams of starts. */
  readonly startCalls = new Inbox<StartCall>();
  /** Unary calls by the name of their method, such as "PutWorkflow"; they may throw a Refusal. */
  readonly answers = new Map<string, Unary>();
  /** Called for each stream of WatchExecution. */
  onWatch: (call: ServerWritableStream<never, unknown>) => void = (call) => call.end();
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(): Promise<ScriptedServer> {
    const server = new Server({ "grpc.max_receive_message_length": -1 });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    const scripted = new ScriptedServer(server, port);
    for (const service of [WorkerService, WorkflowService, ExecutionService]) scripted.#add(service);
    return scripted;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  close(): void {
    this.#server.forceShutdown();
  }

  #add(service: DescService): void {
    const implementation: UntypedServiceImplementation = {};
    for (const method of service.methods) {
      implementation[method.localName] = this.#handler(method) as UntypedServiceImplementation[string];
    }
    this.#server.addService(definition(service), implementation);
  }

  #handler(method: DescMethod): unknown {
    if (method.name === "Connect") {
      return (call: ConnectCall) => WorkerLink.accept(call, (link) => this.links.put(link));
    }
    if (method.name === "StreamExecutions") return (call: StartCall) => this.startCalls.put(call);
    if (method.name === "WatchExecution")
      return (call: ServerWritableStream<never, unknown>) => this.onWatch(call);
    return (call: { request: never }, answer: (error: unknown, response?: unknown) => void) => {
      const script = this.answers.get(method.name);
      if (script === undefined) {
        answer(new Refusal(Status.UNIMPLEMENTED, "NOT_SCRIPTED", method.name));
        return;
      }
      Promise.resolve()
        .then(() => script(call.request))
        .then(
          (response) => answer(null, create(method.output, response as Record<string, unknown>)),
          (error: unknown) => answer(error),
        );
    };
  }
}

function definition(service: DescService): Parameters<Server["addService"]>[0] {
  return Object.fromEntries(
    service.methods.map((method) => [
      method.localName,
      {
        path: `/${service.typeName}/${method.name}`,
        requestStream: method.methodKind.includes("bidi") || method.methodKind === "client_streaming",
        responseStream: method.methodKind.includes("streaming") && method.methodKind !== "client_streaming",
        requestSerialize: serializer(method.input),
        requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
        responseSerialize: serializer(method.output),
        responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
      },
    ]),
  );
}

function serializer<Desc extends DescMessage>(desc: Desc): (message: MessageShape<Desc>) => Buffer {
  return (message) => Buffer.from(toBinary(desc, message));
}
