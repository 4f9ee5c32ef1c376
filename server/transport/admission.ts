import type { DescMethod } from "@bufbuild/protobuf";
import type { BoundMethod, BoundService, Context, StreamCall } from "./service-impl.js";

/**
 * Decides whether a call may reach its handler, by throwing. Every call of every protocol passes one, so
 * this is where authentication belongs.
 */
export type Admission = (method: DescMethod, context: Context) => void | Promise<void>;

/** The service with an admission before each of its handlers. */
export function admitted(service: BoundService, admission: Admission): BoundService {
  return { ...service, methods: service.methods.map((method) => admittedMethod(method, admission)) };
}

function admittedMethod(method: BoundMethod, admission: Admission): BoundMethod {
  const { desc } = method;
  switch (method.kind) {
    case "unary":
      return {
        ...method,
        call: async (request, context) => {
          await admission(desc, context);
          return method.call(request, context);
        },
      };
    case "server_streaming": {
      const call: StreamCall = async function* (request, context) {
        await admission(desc, context);
        yield* method.call(request, context);
      };
      return { ...method, call };
    }
    case "bidi_streaming":
      return {
        ...method,
        open: async (call, context) => {
          await admission(desc, context);
          return method.open(call, context);
        },
      };
  }
}
