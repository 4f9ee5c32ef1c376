import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";

/** What a handler knows of its call besides the request, whichever protocol carries it. */
export interface Context {
  /** Aborts when the caller is gone or its deadline has passed, and when the server drains. */
  readonly signal: AbortSignal;
  readonly metadata: { get(name: string): string | undefined };
  /** Address of the caller, for logs. */
  readonly peer: string;
  /** Unix time in milliseconds; undefined when the caller waits for ever. */
  readonly deadlineMs: number | undefined;
}

/** The server's end of a bidirectional call. Messages come as events, so that none costs a promise. */
export interface DuplexCall<O> {
  /** False while enough is on its way to the peer; `writable` of the listener tells when to go on. */
  readonly canWrite: boolean;
  /** Never blocks and never throws; after the end of the call it does nothing. */
  write(message: O): void;
  /** Stops the flow of incoming messages, apart from those that were read already. */
  pause(): void;
  resume(): void;
  /** Ends the call with OK, after what was written. */
  end(): void;
  /** Ends the call with the status of the error, after what was written. */
  fail(error: unknown): void;
}

/** Told of what happens on a bidirectional call. An exception fails the call with its status. */
export interface DuplexListener<I> {
  message(message: I): void;
  /** The peer sends nothing more. */
  halfClosed(): void;
  writable(): void;
  /** The call is over, for whatever reason. The last event, exactly once. */
  gone(): void;
}

type UnaryMethod<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: Context,
) => Promise<MessageInitShape<O>>;

type ServerStreamMethod<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: Context,
) => AsyncIterable<MessageInitShape<O>>;

type DuplexMethod<I extends DescMessage, O extends DescMessage> = (
  call: DuplexCall<MessageInitShape<O>>,
  context: Context,
) => DuplexListener<MessageShape<I>>;

type MethodImpl<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryMethod<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreamMethod<I, O>
      : M extends DescMethodBiDiStreaming<infer I, infer O>
        ? DuplexMethod<I, O>
        : never;

/** The handlers of a service by the local names of its methods. */
export type Impl<S extends DescService> = {
  readonly [Name in keyof S["method"]]: MethodImpl<S["method"][Name]>;
};

/** A method and its handler, with the types of the messages erased. */
export type BoundMethod =
  | { readonly kind: "unary"; readonly desc: DescMethod; readonly call: UnaryCall }
  | { readonly kind: "server_streaming"; readonly desc: DescMethod; readonly call: StreamCall }
  | { readonly kind: "bidi_streaming"; readonly desc: DescMethod; readonly open: DuplexOpen };

export type UnaryCall = (request: Message, context: Context) => Promise<object>;
export type StreamCall = (request: Message, context: Context) => AsyncIterable<object>;
export type DuplexOpen = (
  call: DuplexCall<object>,
  context: Context,
) => DuplexListener<Message> | Promise<DuplexListener<Message>>;

/** A service with its handlers, ready to be served over any protocol. */
export interface BoundService {
  readonly desc: DescService;
  readonly methods: readonly BoundMethod[];
}

/** Binds handlers to a service. Throws when the service has a client-streaming method; ours have none. */
export function bindService<S extends DescService>(desc: S, impl: Impl<S>): BoundService {
  // The mapped type of the parameter has checked each handler against its method.
  const handlers = impl as unknown as Readonly<Record<string, UnaryCall & StreamCall & DuplexOpen>>;
  const methods = desc.methods.map((method): BoundMethod => {
    const handler = handlers[method.localName];
    if (handler === undefined) throw new Error(`${desc.typeName}.${method.name} has no handler`);
    switch (method.methodKind) {
      case "unary":
        return { kind: "unary", desc: method, call: handler };
      case "server_streaming":
        return { kind: "server_streaming", desc: method, call: handler };
      case "bidi_streaming":
        return { kind: "bidi_streaming", desc: method, open: handler };
      case "client_streaming":
        throw new Error(`${desc.typeName}.${method.name} is client-streaming, which is not served`);
    }
  });
  return { desc, methods };
}
