import type { Metadata, ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { HeadraceError } from "../core/errors.js";
import type { Log } from "../engine/log.js";
import type { OpenCalls } from "./open-calls.js";
import type { Context } from "./service-impl.js";

/** What all handlers of grpc-js calls need. */
export interface CallTools {
  readonly openCalls: OpenCalls;
  readonly log: Log;
  readonly metadataBytesMax: number;
}

type AnyCall =
  | ServerUnaryCall<unknown, unknown>
  | ServerWritableStream<unknown, unknown>
  | ServerDuplexStream<unknown, unknown>;

/** The context of one gRPC call. It must be ended, so that nothing keeps the call alive. */
export class CallContext implements Context {
  readonly metadata: { get(name: string): string | undefined };
  readonly peer: string;
  readonly deadlineMs: number | undefined;
  readonly #controller: AbortController;
  readonly #openCalls: OpenCalls;
  #isOver = false;

  /** Throws MESSAGE_TOO_LARGE when the call has too much metadata. */
  constructor(call: AnyCall, { openCalls, metadataBytesMax }: CallTools) {
    checkMetadata(call.metadata, metadataBytesMax);
    this.metadata = { get: (name) => firstText(call.metadata, name) };
    this.peer = call.getPeer();
    const deadline = Number(call.getDeadline());
    this.deadlineMs = Number.isFinite(deadline) ? deadline : undefined;
    this.#openCalls = openCalls;
    this.#controller = openCalls.begin();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether nobody waits for an answer any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The call was answered. */
  end(): void {
    this.#isOver = true;
    this.#openCalls.end(this.#controller);
  }

  /** The caller is gone, if the call was not answered before. */
  cancel(): void {
    if (this.#isOver) return;
    this.end();
    this.#controller.abort();
  }
}

function firstText(metadata: Metadata, name: string): string | undefined {
  const value = metadata.get(name)[0];
  return typeof value === "string" ? value : undefined;
}

function checkMetadata(metadata: Metadata, limit: number): void {
  let actual = 0;
  for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
    // As HTTP/2 counts: each entry has 32 bytes besides its text.
    for (const value of [values].flat()) actual += name.length + String(value ?? "").length + 32;
  }
  if (actual <= limit) return;
  const text = `The call has ${actual} bytes of metadata; the limit is ${limit}.`;
  throw new HeadraceError("MESSAGE_TOO_LARGE", text, { field: "metadata", limit, actual });
}
