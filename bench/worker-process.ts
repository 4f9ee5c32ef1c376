import { connect, type Client } from "@headrace/sdk";
import { offerCalls } from "./calls.js";
import { workflowOf, type Shape } from "./workflows.js";

/** The process that runs handlers: one worker of the TypeScript SDK on one stream. */
export interface WorkerCalls {
  /** Resolves when the server knows the worker. */
  serve(argument: { readonly address: string; readonly shape: Shape }): Promise<void>;
}

/** Enough that the worker never is what others wait for: handlers end at once. */
const SLOTS = 2_000;
const PREFETCH = 2_000;

let client: Client | undefined;

offerCalls<WorkerCalls>(
  {
    serve: async ({ address, shape }) => {
      client = await connect({ address });
      await client.serve(workflowOf(shape).definition, {
        name: "bench-worker",
        concurrency: SLOTS,
        prefetch: PREFETCH,
        signals: false,
      });
    },
  },
  async () => client?.close(),
);
