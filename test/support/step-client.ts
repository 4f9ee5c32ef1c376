import { connect, external, workflow, type Client, type ConnectOptions, type Ref } from "@headrace/sdk";
import type { ExecutionContext } from "ava";
import type { StepInput, StepOutput } from "./step.js";

const step = external<StepInput, StepOutput>("step");
/** The same handler, whose worker may vanish once only. */
const fragile = external<StepInput, StepOutput>("step", { retry: { maxCrashes: 1 } });

/** One task, "step", with the input of the execution. */
export const single = workflow("single", (input: Ref<StepInput>) => step(input));

/** One task, "step", that is quarantined as soon as its worker has vanished. */
export const quarantined = workflow("quarantined", (input: Ref<StepInput>) => fragile(input));

/** Three tasks, one after the other: "step", "step-2" with the input of the execution, and "step-3". */
export const chain = workflow("chain", (input: Ref<StepInput>) => {
  const first = step({ value: "first" });
  const second = step.with({ after: [first] })(input);
  return step({ value: second.value });
});

/** A client of the SDK, closed at the end of the test. It says nothing of what it survives. */
export async function useClient(
  t: ExecutionContext,
  address: string,
  options: ConnectOptions = {},
): Promise<Client> {
  const client = await connect({ address, onWarning: () => undefined, ...options });
  t.teardown(() => client.close());
  return client;
}
