import type { Plan } from "../core/plan.js";

/** Where compiled plans come from; implemented by the plan cache. */
export interface Plans {
  /** The plan of a stored version. Rejects with VERSION_NOT_FOUND when it is not stored. */
  getPlan(namespaceId: number, workflow: string, version: string): Promise<Plan>;
}
