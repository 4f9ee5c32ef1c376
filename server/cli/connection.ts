import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, Metadata, type CallOptions } from "@grpc/grpc-js";
import { isLoopback } from "../config/contradictions.js";
import { usageError } from "./cli-error.js";
import { clientCredentials, type ClientTls } from "./client-tls.js";
import { fromServiceError } from "./service-error.js";

/** Where and how to call a server. */
export interface Target {
  /** host:port, possibly after http:// or https://. */
  readonly address: string;
  /** Undefined is plaintext. */
  readonly tls: ClientTls | undefined;
  readonly token: string | undefined;
}

/** How long a call may take and what ends it early. */
export interface UnaryOptions {
  /** Default 30 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** A connection to a server. Each call rejects with a CliError that tells what the server told. */
export class Connection {
  readonly address: string;
  readonly #client: Client;
  readonly #token: string | undefined;

  constructor(target: Target) {
    this.address = target.address.replace(/^https?:\/\//, "");
    checkTarget(this.address, target.token !== undefined && target.tls === undefined);
    this.#token = target.token;
    const credentials = clientCredentials(target.tls);
    // What the server may send is for the server to limit.
    this.#client = new Client(this.address, credentials, { "grpc.max_receive_message_length": -1 });
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: UnaryOptions = {},
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        pathOf(method),
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        this.#metadata(),
        { deadline: Date.now() + timeoutMs } satisfies CallOptions,
        (error, response) => {
          signal?.removeEventListener("abort", cancel);
          if (error !== null) reject(fromServiceError(error, this.address));
          else resolve(response as MessageShape<O>);
        },
      );
      const cancel = (): void => call.cancel();
      if (signal?.aborted === true) cancel();
      else signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** Messages until the server ends the stream. Leaving the loop, or the signal, cancels the call. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, void> {
    const call = this.#client.makeServerStreamRequest(
      pathOf(method),
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes) => fromBinary(method.output, bytes),
      create(method.input, request),
      this.#metadata(),
    );
    const cancel = (): void => call.cancel();
    if (signal.aborted) cancel();
    else signal.addEventListener("abort", cancel, { once: true });
    try {
      for await (const message of call) yield message as MessageShape<O>;
    } catch (error) {
      throw fromServiceError(error, this.address);
    } finally {
      signal.removeEventListener("abort", cancel);
      cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#token !== undefined) metadata.set("authorization", `Bearer ${this.#token}`);
    return metadata;
  }
}

function pathOf(method: DescMethodUnary | DescMethodServerStreaming): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function checkTarget(address: string, sendsTokenInPlaintext: boolean): void {
  const [, host, port] = /^(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):(\d{1,5})$/.exec(address) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw usageError(
      `the address "${address}" is not of the form host:port`,
      "set --address or HEADRACE_ADDRESS to one such as 127.0.0.1:7400",
    );
  }
  if (sendsTokenInPlaintext && !isLoopback(host)) {
    throw usageError(
      `HEADRACE_TOKEN would go to ${address} in plaintext`,
      "set HEADRACE_TLS=1 or give --tls-ca, so that it goes over TLS",
    );
  }
}
