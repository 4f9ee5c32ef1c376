import type { handleBidiStreamingCall, handleServerStreamingCall, ServerWritableStream } from "@grpc/grpc-js";
import { CallContext, type CallTools } from "./call-context.js";
import { GrpcDuplexCall } from "./duplex-call.js";
import { grpcStatusOf } from "./grpc-status.js";
import { UnreadableMessage, type Incoming } from "./service-definition.js";
import type { DuplexOpen, StreamCall } from "./service-impl.js";

/** Serves a server-streaming method with grpc-js. */
export function serverStreamHandler(
  handle: StreamCall,
  tools: CallTools,
): handleServerStreamingCall<Incoming, object> {
  return (call) => {
    sendAll(call, handle, tools).catch((error: unknown) => {
      if (!call.cancelled) call.emit("error", grpcStatusOf(error, tools.log));
    });
  };
}

async function sendAll(
  call: ServerWritableStream<Incoming, object>,
  handle: StreamCall,
  tools: CallTools,
): Promise<void> {
  const { request } = call;
  if (request instanceof UnreadableMessage) throw request.error;
  const context = new CallContext(call, tools);
  // One listener for the whole call: one for each wait would pile up.
  let wake = (): void => undefined;
  call.on("drain", () => wake());
  call.on("cancelled", () => {
    context.cancel();
    wake();
  });
  try {
    for await (const response of handle(request, context)) {
      if (context.isOver) return;
      if (!call.write(response)) await new Promise<void>((resolve) => (wake = resolve));
    }
    call.end();
  } finally {
    context.end();
  }
}

/** Serves a bidirectional method with grpc-js. */
export function duplexHandler(open: DuplexOpen, tools: CallTools): handleBidiStreamingCall<Incoming, object> {
  return (call) => {
    const duplex = new GrpcDuplexCall(call, tools.log);
    duplex.serve(async () => open(duplex, duplex.begin(tools))).catch((error: unknown) => duplex.fail(error));
  };
}
