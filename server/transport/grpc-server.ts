import {
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import type { Duplex } from "node:stream";
import type { Limits } from "../core/limits.js";
import type { Log } from "../engine/log.js";
import type { CallTools } from "./call-context.js";
import type { EdgeSettings } from "./edge-settings.js";
import { withReason } from "./grpc-status.js";
import type { OpenCalls } from "./open-calls.js";
import { serviceDefinition } from "./service-definition.js";
import type { BoundMethod, BoundService } from "./service-impl.js";
import { duplexHandler, serverStreamHandler } from "./stream-handlers.js";
import { unaryHandler } from "./unary-handler.js";

/** Beyond the limit of a message: what an answer may carry that was put together from several. */
const SEND_FACTOR = 2;

/** What is served over gRPC, and within which limits. */
export interface GrpcServerOptions {
  readonly services: readonly BoundService[];
  readonly limits: Limits;
  readonly settings: EdgeSettings;
  readonly openCalls: OpenCalls;
  readonly log: Log;
}

/** Serves gRPC on connections that others accept. */
export class GrpcServer {
  readonly #server: Server;
  readonly #injector: ReturnType<Server["createConnectionInjector"]>;

  constructor(options: GrpcServerOptions) {
    const { services, settings, openCalls, log } = options;
    this.#server = new Server({ ...channelOptions(options), interceptors: [statusInterceptor(log)] });
    const tools: CallTools = { openCalls, log, metadataBytesMax: settings.metadataBytesMax };
    for (const service of services) {
      const handlers = service.methods.map(
        (method) => [method.desc.localName, handlerOf(method, tools)] as const,
      );
      this.#server.addService(serviceDefinition(service.desc), Object.fromEntries(handlers));
    }
    // TLS, where there is any, ends before the connection comes here.
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Takes a connection whose peer speaks HTTP/2. */
  accept(socket: Duplex): void {
    this.#injector.injectConnection(socket);
  }

  /**
   * Takes no more connections and asks clients to go; their calls go on. Who ends the connections after a
   * while gives their callers UNAVAILABLE, which they retry; grpc-js would give CANCELLED.
   */
  drain(): void {
    this.#injector.destroy();
  }
}

function channelOptions({ limits, settings }: GrpcServerOptions): ConstructorParameters<typeof Server>[0] {
  return {
    "grpc.max_concurrent_streams": settings.concurrentStreamsMax,
    "grpc-node.max_session_memory": settings.sessionMemoryMb,
    "grpc.max_receive_message_length": limits.messageBytes,
    "grpc.max_send_message_length": limits.messageBytes * SEND_FACTOR,
    "grpc.max_connection_age_ms": settings.connectionAgeMs,
    "grpc.max_connection_age_grace_ms": settings.connectionAgeGraceMs,
    "grpc.max_connection_idle_ms": settings.connectionIdleMs,
    "grpc.keepalive_time_ms": settings.keepaliveMs,
    "grpc.keepalive_timeout_ms": settings.keepaliveTimeoutMs,
    "grpc.enable_channelz": 0,
  };
}

function handlerOf(method: BoundMethod, tools: CallTools): UntypedHandleCall {
  switch (method.kind) {
    case "unary":
      return unaryHandler(method.call, tools);
    case "server_streaming":
      return serverStreamHandler(method.call, tools);
    case "bidi_streaming":
      return duplexHandler(method.open, tools);
  }
}

/**
 * Gives a reason to the failures that grpc-js finds itself, such as a message beyond the limit. It sends
 * them from the call at the bottom of the chain, past every interceptor, so that call is where to stand.
 */
function statusInterceptor(log: Log): ServerInterceptor {
  return (_method, call) => {
    const send = call.sendStatus.bind(call);
    call.sendStatus = (status) => send({ ...status, ...withReason(status, log) });
    return new ServerInterceptingCall(call);
  };
}
