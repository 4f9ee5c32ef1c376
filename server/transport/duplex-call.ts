import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Message } from "@bufbuild/protobuf";
import type { Log } from "../engine/log.js";
import { CallContext, type CallTools } from "./call-context.js";
import { grpcStatusOf } from "./grpc-status.js";
import { UnreadableMessage, type Incoming } from "./service-definition.js";
import type { DuplexCall, DuplexListener } from "./service-impl.js";

/** So many messages may wait for the network. Few, because a status has to queue behind them. */
const UNSENT_MAX = 4;

/**
 * One bidirectional call of grpc-js. It is read by events: an iteration over the stream would destroy the
 * call when the client has sent its last message, before the answer.
 */
export class GrpcDuplexCall implements DuplexCall<object> {
  readonly #call: ServerDuplexStream<Incoming, object>;
  readonly #log: Log;
  #context: CallContext | undefined;
  #listener: DuplexListener<Message> | undefined;
  #unsent = 0;
  #isOver = false;

  constructor(call: ServerDuplexStream<Incoming, object>, log: Log) {
    this.#call = call;
    this.#log = log;
    call.on("cancelled", () => {
      this.#finish();
    });
  }

  /** The context of the call. */
  begin(tools: CallTools): CallContext {
    return (this.#context = new CallContext(this.#call, tools));
  }

  /** Delivers the events of the call to the listener that `open` gives. */
  async serve(open: () => Promise<DuplexListener<Message>>): Promise<void> {
    const listener = await open();
    if (this.#isOver) {
      listener.gone();
      return;
    }
    this.#listener = listener;
    this.#call.on("data", (message: Incoming) => this.#receive(message));
    this.#call.on("end", () => this.#guarded((open) => open.halfClosed()));
  }

  get canWrite(): boolean {
    return this.#unsent < UNSENT_MAX;
  }

  write(message: object): void {
    if (this.#isOver) return;
    this.#unsent++;
    this.#call.write(message, this.#written);
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#call.resume();
  }

  end(): void {
    if (this.#isOver) return;
    this.#call.end();
    this.#finish();
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#call.emit("error", grpcStatusOf(error, this.#log));
    this.#finish();
  }

  readonly #written = (): void => {
    if (this.#unsent-- === UNSENT_MAX) this.#guarded((listener) => listener.writable());
  };

  #receive(message: Incoming): void {
    if (message instanceof UnreadableMessage) this.fail(message.error);
    else this.#guarded((listener) => listener.message(message));
  }

  #guarded(event: (listener: DuplexListener<Message>) => void): void {
    if (this.#isOver || this.#listener === undefined) return;
    try {
      event(this.#listener);
    } catch (error) {
      this.fail(error);
    }
  }

  /** The last event. What the peer may still send is read and dropped, so that the call can close. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#context?.cancel();
    this.#call.resume();
    this.#listener?.gone();
  }
}
