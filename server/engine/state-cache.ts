import { LRUCache } from "lru-cache";
import { stateSizeBytes, type ExecutionState } from "../core/execution-state.js";
import { isTerminal } from "../core/status.js";

/**
 * States of open executions, bounded by bytes. Correctness never depends on it: a lane compares the
 * revision with that of the locked row and reads what is missing.
 */
export class StateCache {
  readonly #states: LRUCache<string, ExecutionState>;

  /** 0 keeps none. */
  constructor(maxBytes: number) {
    // The cache takes 0 for no bound; every state is larger than one byte.
    this.#states = new LRUCache({ maxSize: Math.max(1, maxBytes), sizeCalculation: stateSizeBytes });
  }

  get(executionId: string): ExecutionState | undefined {
    return this.#states.get(executionId);
  }

  /** Keeps a state as it was committed; one that has ended is dropped. */
  keep(state: ExecutionState): void {
    if (isTerminal(state.status)) this.#states.delete(state.facts.executionId);
    else this.#states.set(state.facts.executionId, state);
  }

  /** Forgets a state that was changed and not committed. */
  drop(executionId: string): void {
    this.#states.delete(executionId);
  }
}
