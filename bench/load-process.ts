import { connect, type Client } from "@headrace/sdk";
import { offerCalls } from "./calls.js";
import { runPaced, runSerially, Saturation, type Mark, type Pace, type RunOne } from "./load.js";
import { workflowOf, type Shape } from "./workflows.js";

/** The process that starts executions and sees their results, through the TypeScript SDK. */
export interface LoadCalls {
  /** Connects and stores the workflow. */
  prepare(argument: { readonly address: string; readonly shape: Shape }): Promise<void>;
  /** Begins to keep so many executions in flight. */
  saturate(argument: { readonly inFlight: number }): Promise<void>;
  mark(): Promise<Mark>;
  /** Ends the saturation; answers how many executions ran. */
  stop(): Promise<number>;
  paced(argument: Pace): Promise<number[]>;
  serially(argument: { readonly count: number }): Promise<number[]>;
}

let client: Client | undefined;
let runOne: RunOne | undefined;
let saturation: Saturation | undefined;

/** Starts on the stream of starts, which batches by turns of the event loop, and waits for the end. */
function runnerOf(open: Client, shape: Shape): RunOne {
  const { definition, expected } = workflowOf(shape);
  return async (n) => {
    const output = await open.run(definition, { n });
    if (output.n === expected(n)) return;
    throw new Error(`${definition.name} of ${n} gave ${JSON.stringify(output)}, not ${expected(n)}`);
  };
}

function prepared<Part>(part: Part | undefined): Part {
  if (part === undefined) throw new Error("Calls came in the wrong order");
  return part;
}

offerCalls<LoadCalls>(
  {
    prepare: async ({ address, shape }) => {
      client = await connect({ address });
      await client.put(workflowOf(shape).definition);
      runOne = runnerOf(client, shape);
    },
    saturate: async ({ inFlight }) => {
      saturation = new Saturation(prepared(runOne), inFlight);
    },
    mark: () => prepared(saturation).mark(),
    stop: () => prepared(saturation).stop(),
    paced: (pace) => runPaced(prepared(runOne), pace),
    serially: ({ count }) => runSerially(prepared(runOne), count),
  },
  async () => client?.close(),
);
