import { setTimeout as sleep } from "node:timers/promises";

import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ChannelCredentials, ClientDuplexStream } from "@grpc/grpc-js";
import { Client as GrpcClient, Metadata, status as Status } from "@grpc/grpc-js";

import { backoffMs } from "./backoff.js";
import { HeadraceError } from "./errors.js";
import { statusError } from "./status-details.js";

/** How to reach a server and how long to try. */
export interface ConnectionOptions {
  /** host:port */
  readonly address: string;
  readonly credentials: ChannelCredentials;
  /** Name that the server's certificate must have. Empty: the host of the address. */
  readonly serverName: string;
  /** Sent as a bearer token with each call. Empty: none. */
  readonly token: string;
  /** How long a call may take, its repetitions included. */
  readonly callTimeoutMs: number;
}

/** What one call has of its own. */
export interface CallOptions {
  /** Default: the connection's. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** False for callers that decide themselves what follows an error. Default true. */
  readonly repeat?: boolean;
}

/** One gRPC channel to a server. Every call is safe to repeat, and is repeated when the server is away. */
export class Connection {
  readonly address: string;
  readonly callTimeoutMs: number;
  readonly #client: GrpcClient;
  readonly #token: string;

  constructor(options: ConnectionOptions) {
    this.address = options.address;
    this.callTimeoutMs = options.callTimeoutMs;
    this.#token = options.token;
    this.#client = new GrpcClient(options.address, options.credentials, {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 2_000,
      // The library's own retries keep a copy of what streams send; repeating is done here.
      "grpc.enable_retries": 0,
      ...(options.serverName === "" ? {} : { "grpc.ssl_target_name_override": options.serverName }),
    });
  }

  /** Resolves with whether the server answers within the time. */
  ready(timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => resolve(error === undefined));
    });
  }

  /**
   * Calls until the server has answered, with growing pauses while it is away. Rejects with a
   * HeadraceError, or with the reason of the signal.
   */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const deadline = Date.now() + (options.timeoutMs ?? this.callTimeoutMs);
    for (let tries = 0; ; tries++) {
      try {
        return await this.#callOnce(method, create(method.input, request), deadline, options.signal);
      } catch (error) {
        if (!(error instanceof HeadraceError) || !error.retryable || options.repeat === false) throw error;
        const pauseMs = error.retryAfterMs ?? backoffMs(tries);
        if (Date.now() + pauseMs >= deadline) throw error;
        await pause(pauseMs, options.signal);
      }
    }
  }

  /** One server stream. Iterating rejects when it does not end with OK; leaving the loop cancels it. */
  async *serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    signal?.throwIfAborted();
    const call = this.#client.makeServerStreamRequest(
      pathOf(method),
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      create(method.input, request),
      this.#metadata(),
    );
    const cancel = (): void => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      for await (const message of call) yield message as MessageShape<O>;
    } catch (error) {
      signal?.throwIfAborted();
      throw isServiceError(error) ? statusError(error, method.name) : error;
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  /** A stream in both directions. The caller listens to "status", which comes once, at its end. */
  duplex<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
  ): ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
    return this.#client.makeBidiStreamRequest(
      pathOf(method),
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      this.#metadata(),
    );
  }

  close(): void {
    this.#client.close();
  }

  #callOnce<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<MessageShape<O>> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const cancel = (): void => call.cancel();
      const call = this.#client.makeUnaryRequest(
        pathOf(method),
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        request,
        this.#metadata(),
        { deadline },
        (error, response) => {
          signal?.removeEventListener("abort", cancel);
          if (error === null && response !== undefined) resolve(response);
          else if (signal?.aborted === true) reject(signal.reason);
          else reject(statusError(error ?? { code: Status.INTERNAL, details: "no response" }, method.name));
        },
      );
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#token !== "") metadata.set("authorization", `Bearer ${this.#token}`);
    return metadata;
  }
}

/** Waits; rejects with the reason of the signal when it is aborted. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function isServiceError(error: unknown): error is { code: Status; details: string; metadata: Metadata } {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}
