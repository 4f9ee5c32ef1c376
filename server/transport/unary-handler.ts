import type { handleUnaryCall, ServerUnaryCall } from "@grpc/grpc-js";
import { CallContext, type CallTools } from "./call-context.js";
import { grpcStatusOf } from "./grpc-status.js";
import { UnreadableMessage, type Incoming } from "./service-definition.js";
import type { UnaryCall } from "./service-impl.js";

/** Serves a unary method with grpc-js. */
export function unaryHandler(handle: UnaryCall, tools: CallTools): handleUnaryCall<Incoming, object> {
  return (call, callback) => {
    answer(call, handle, tools).then(
      (response) => callback(null, response),
      (error: unknown) => callback(grpcStatusOf(error, tools.log)),
    );
  };
}

async function answer(
  call: ServerUnaryCall<Incoming, object>,
  handle: UnaryCall,
  tools: CallTools,
): Promise<object> {
  const { request } = call;
  if (request instanceof UnreadableMessage) throw request.error;
  const context = new CallContext(call, tools);
  call.on("cancelled", () => context.cancel());
  try {
    return await handle(request, context);
  } finally {
    context.end();
  }
}
