import { create } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { status as Status } from "@grpc/grpc-js";

import type { Connection } from "./connection.js";
import type { HeadraceError } from "./errors.js";
import type { ConnectRequest, ConnectResponse } from "./gen/headrace/v1/worker_service_pb.js";
import { BeatSchema, ConnectRequestSchema, WorkerService } from "./gen/headrace/v1/worker_service_pb.js";
import type { CallStatus } from "./status-details.js";
import { statusError } from "./status-details.js";

/** A frame is acknowledged at the latest this much later, even when there is nothing else to say. */
const ACKNOWLEDGE_WITHIN_MS = 20;

/** Who is told what happens on a stream. */
export interface StreamListener {
  message(message: ConnectResponse["message"]): void;
  /** What was blocked can be sent now. */
  writable(): void;
  /** Called once. Undefined: the server ended the stream with OK. */
  ended(error: HeadraceError | undefined): void;
}

/** One gRPC stream of a worker: numbers what was received and acknowledges it. */
export class WorkerStream {
  /** True while what is sent piles up in memory instead of leaving. */
  blocked = false;
  readonly #call: ClientDuplexStream<ConnectRequest, ConnectResponse>;
  readonly #listener: StreamListener;
  #receivedFrame = 0n;
  #acknowledgedFrame = 0n;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(connection: Connection, listener: StreamListener) {
    this.#listener = listener;
    this.#call = connection.duplex(WorkerService.method.connect);
    this.#call.on("data", (response: ConnectResponse) => this.#receive(response));
    this.#call.on("drain", () => {
      this.blocked = false;
      listener.writable();
    });
    this.#call.on("status", (status: CallStatus) => this.#end(status));
    // "status" carries the same; without a listener "error" would be thrown.
    this.#call.on("error", () => undefined);
  }

  /** Sends a message, which acknowledges every frame so far. */
  send(message: ConnectRequest["message"]): void {
    if (this.#ended) return;
    this.#acknowledgedFrame = this.#receivedFrame;
    const request = create(ConnectRequestSchema, { receivedFrame: this.#receivedFrame, message });
    if (!this.#call.write(request)) this.blocked = true;
  }

  /** Says that nothing more will be sent. */
  halfClose(): void {
    if (!this.#ended) this.#call.end();
  }

  /** Breaks the stream off. */
  cancel(): void {
    this.#call.cancel();
  }

  #receive(response: ConnectResponse): void {
    this.#receivedFrame = response.frame;
    this.#listener.message(response.message);
    if (response.message.case === "ping") this.#acknowledge();
    else this.#timer ??= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_WITHIN_MS);
  }

  #acknowledge(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#acknowledgedFrame === this.#receivedFrame) return;
    this.send({ case: "beat", value: create(BeatSchema) });
  }

  #end(status: CallStatus): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#listener.ended(status.code === Status.OK ? undefined : statusError(status, "The worker stream"));
  }
}
