import type { IncomingMessage, ServerResponse } from "node:http";
import {
  createConnectRouter,
  createContextKey,
  createContextValues,
  type ConnectRouter,
  type HandlerContext,
  type ServiceImpl,
} from "@connectrpc/connect";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { DescService } from "@bufbuild/protobuf";
import type { Log } from "../engine/log.js";
import { connectError, errorResponse, withReason } from "./call-errors.js";
import type { HttpContext, HttpMethod, HttpService, StatusOf } from "./http-service.js";
import { HeadraceError } from "../core/errors.js";

const PEER = createContextKey("unknown");

/** What the routes need: the handlers, and how their failures are told. */
export interface CallRoutesOptions {
  readonly services: readonly HttpService[];
  readonly statusOf: StatusOf;
  readonly messageBytes: number;
  readonly drainSignal: AbortSignal;
  readonly log: Log;
}

/** The calls of the services as JSON, Connect and gRPC-web. Bidirectional ones need HTTP/2 and gRPC. */
export class CallRoutes {
  readonly #options: CallRoutesOptions;
  readonly #handlers: ReadonlyMap<string, UniversalHandler>;

  constructor(options: CallRoutesOptions) {
    this.#options = options;
    const router = createConnectRouter({
      grpc: false,
      acceptCompression: [compressionGzip],
      readMaxBytes: options.messageBytes,
      writeMaxBytes: options.messageBytes * 2,
      // A misspelt field of hand-written JSON must not pass in silence.
      jsonOptions: { ignoreUnknownFields: false },
      shutdownSignal: options.drainSignal,
    });
    for (const service of options.services) addService(router, service, options.statusOf);
    this.#handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  }

  /** Paths of the methods, for people. */
  get paths(): string[] {
    return [...this.#handlers.keys()];
  }

  /** Whether a path is one of these. */
  has(path: string): boolean {
    return this.#handlers.has(path);
  }

  /** Answers a request for a path that is one of these. */
  async serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const handler = this.#handlers.get(path);
    if (handler === undefined) throw new Error(`${path} is no call`);
    const { statusOf } = this.#options;
    const answer = await this.#answer(handler, request, response).catch((error: unknown) =>
      errorResponse(error, statusOf),
    );
    await universalResponseToNodeResponse(answer, response).catch((error: unknown) => {
      // The caller is gone; there is nobody left to tell.
      this.#options.log.debug({ err: error, path }, "an HTTP response could not be sent");
    });
  }

  async #answer(
    handler: UniversalHandler,
    request: IncomingMessage,
    response: ServerResponse,
  ): ReturnType<UniversalHandler> {
    if (!URL.canParse(`http://${request.headers.host ?? ""}/`)) {
      throw new HeadraceError("MALFORMED_REQUEST", "The request has no valid Host header.");
    }
    const { remoteAddress, remotePort } = request.socket;
    const values = createContextValues().set(PEER, `${remoteAddress ?? "unknown"}:${remotePort ?? 0}`);
    const universal = universalRequestFromNodeRequest(request, response, undefined, values);
    return withReason(await handler(universal), this.#options.statusOf, request.method ?? "POST");
  }
}

function addService(router: ConnectRouter, service: HttpService, statusOf: StatusOf): void {
  const methods = service.methods
    .filter((method) => method.kind !== "bidi_streaming")
    .map((method) => [method.desc.localName, adapted(method, statusOf)] as const);
  // The descriptor pairs each handler with its method, which the types of Connect cannot see here.
  router.service(service.desc, Object.fromEntries(methods) as Partial<ServiceImpl<DescService>>);
}

type Served = Exclude<HttpMethod, { kind: "bidi_streaming" }>;

function adapted(method: Served, statusOf: StatusOf): unknown {
  if (method.kind === "unary") {
    const unary: Unary = (request, context) =>
      method.call(request, contextOf(context)).catch((error: unknown) => {
        throw connectError(error, statusOf);
      });
    return unary;
  }
  return async function* (request: Parameters<typeof method.call>[0], context: HandlerContext) {
    try {
      yield* method.call(request, contextOf(context));
    } catch (error) {
      throw connectError(error, statusOf);
    }
  };
}

type Unary = (request: Parameters<Served["call"]>[0], context: HandlerContext) => Promise<object>;

function contextOf(context: HandlerContext): HttpContext {
  const timeoutMs = context.timeoutMs();
  return {
    signal: context.signal,
    metadata: { get: (name) => context.requestHeader.get(name) ?? undefined },
    peer: context.values.get(PEER),
    deadlineMs: timeoutMs === undefined ? undefined : Date.now() + timeoutMs,
  };
}
