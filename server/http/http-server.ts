import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Limits } from "../core/limits.js";
import type { Log } from "../engine/log.js";
import { CallRoutes } from "./call-routes.js";
import type { HttpService, StatusOf } from "./http-service.js";

/** What the HTTP/1.1 side serves and how long it waits for clients. */
export interface HttpServerOptions {
  readonly services: readonly HttpService[];
  readonly limits: Limits;
  readonly statusOf: StatusOf;
  /** Undefined when calls make sense; otherwise why not. */
  readonly notReady: () => string | undefined;
  readonly drainSignal: AbortSignal;
  readonly log: Log;
  /** How long a client may take to send its headers. Default 10 s. */
  readonly headersTimeoutMs?: number;
  /** How long a client may take to send a request. Default 60 s. */
  readonly requestTimeoutMs?: number;
}

const HEADER_BYTES_MAX = 16_384;
const KEEP_ALIVE_MS = 60_000;

/** Serves HTTP/1.1 on connections that others accept: health, and the calls as JSON. */
export class HttpServer {
  readonly #server: Server;
  readonly #calls: CallRoutes;
  readonly #pages: Readonly<Record<string, (response: ServerResponse) => void>>;
  readonly #log: Log;
  #isDraining = false;

  constructor(options: HttpServerOptions) {
    const { services, statusOf, limits, drainSignal, log, notReady } = options;
    this.#log = log;
    this.#calls = new CallRoutes({ services, statusOf, drainSignal, log, messageBytes: limits.messageBytes });
    this.#pages = {
      "/healthz": (response) => sendJson(response, 200, { status: "alive" }),
      "/readyz": (response) => {
        const reason = notReady();
        if (reason === undefined) sendJson(response, 200, { status: "ready" });
        else sendJson(response, 503, { status: "not ready", reason });
      },
    };
    const headersTimeout = options.headersTimeoutMs ?? 10_000;
    this.#server = createServer({
      headersTimeout,
      requestTimeout: Math.max(options.requestTimeoutMs ?? 60_000, headersTimeout),
      connectionsCheckingInterval: Math.min(1_000, headersTimeout),
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    });
    this.#server.on("request", (request, response) => this.#route(request, response));
    // Node begins to watch its timeouts when a server listens, and this one never does.
    this.#server.emit("listening");
  }

  /** Takes a connection whose peer speaks HTTP/1.1. */
  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Ends idle connections now, and the others when they are answered. */
  drain(): void {
    this.#isDraining = true;
    this.#server.close();
  }

  #route(request: IncomingMessage, response: ServerResponse): void {
    response.once("close", () => {
      if (this.#isDraining) request.socket.destroySoon();
    });
    const path = request.url?.split("?", 1)[0] ?? "/";
    const page = this.#pages[path];
    if (this.#calls.has(path)) {
      this.#calls.serve(path, request, response).catch((error: unknown) => {
        this.#log.error({ err: error, path }, "an HTTP request failed");
        response.destroy();
      });
    } else if (page === undefined) {
      this.#sendNotFound(request, response, path);
    } else if (request.method === "GET" || request.method === "HEAD") {
      page(response);
    } else {
      response.setHeader("allow", "GET, HEAD");
      sendJson(response, 405, { code: "unimplemented", message: `${path} is read by GET.` });
    }
  }

  #sendNotFound(request: IncomingMessage, response: ServerResponse, path: string): void {
    sendJson(response, 404, {
      code: "not_found",
      message: `Nothing is at ${request.method ?? "GET"} ${path.slice(0, 200)}.`,
      paths: [...Object.keys(this.#pages), ...this.#calls.paths],
    });
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}
