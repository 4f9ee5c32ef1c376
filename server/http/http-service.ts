import type { DescMessage, DescMethod, DescService, Message } from "@bufbuild/protobuf";
import type { StatusCode } from "../core/errors.js";

/** What a handler knows of its call besides the request. */
export interface HttpContext {
  readonly signal: AbortSignal;
  readonly metadata: { get(name: string): string | undefined };
  readonly peer: string;
  readonly deadlineMs: number | undefined;
}

/** A method that HTTP/1.1 can carry, and the bidirectional ones, which it cannot. */
export type HttpMethod =
  | {
      readonly kind: "unary";
      readonly desc: DescMethod;
      readonly call: (request: Message, context: HttpContext) => Promise<object>;
    }
  | {
      readonly kind: "server_streaming";
      readonly desc: DescMethod;
      readonly call: (request: Message, context: HttpContext) => AsyncIterable<object>;
    }
  | { readonly kind: "bidi_streaming"; readonly desc: DescMethod };

/** A service with its handlers. */
export interface HttpService {
  readonly desc: DescService;
  readonly methods: readonly HttpMethod[];
}

/** How a call failed: the code, the text, and typed details. */
export interface HttpCallStatus {
  readonly code: StatusCode;
  readonly message: string;
  readonly details: ReadonlyArray<{ readonly desc: DescMessage; readonly value: Record<string, unknown> }>;
}

/** The status of any error. */
export type StatusOf = (error: unknown) => HttpCallStatus;
