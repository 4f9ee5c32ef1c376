import type { DraftLimits } from "./draft.js";
import type { ExecutionState } from "./execution-state.js";
import type { InputSource } from "./resolve-input.js";

/** What inputs and the workflow output are made from, as the execution has it now. */
export function inputSource(
  { facts, tasks }: ExecutionState,
  { payloadBytesMax, budget }: DraftLimits,
): InputSource {
  return {
    executionId: facts.executionId,
    workflow: facts.plan.workflow,
    createdAtMs: facts.createdAtMs,
    input: facts.input,
    payloadBytesMax,
    budget,
    outputOf: (index) => tasks[index]?.output,
  };
}
