import type { Draft } from "../core/draft.js";
import { SHARED_INPUT_BYTES } from "../core/opening-budget.js";
import type { Payload } from "../core/payload.js";

/** Inputs that are written once for several tasks, with the id that each gets. */
export type SharedInputs = ReadonlyMap<Payload, number>;

const NOTHING_SHARED: SharedInputs = new Map();

/**
 * The large inputs that several tasks of a draft have become ready with: those of roots that take the
 * input of the workflow, or of a fan-out. The id is the index of the first of the tasks, which becomes
 * ready once in an execution, so no other input ever gets it.
 */
export function shareInputs({ touched, largeInputs }: Draft): SharedInputs {
  if (touched.size < 2 || largeInputs === undefined) return NOTHING_SHARED;
  const shared = new Map<Payload, number>();
  const first = new Map<Payload, number>();
  for (const [index, { input }] of touched) {
    if (input === undefined || input.data.length < SHARED_INPUT_BYTES) continue;
    const inputId = first.get(input);
    if (inputId === undefined) first.set(input, index);
    else shared.set(input, inputId);
  }
  return shared;
}
