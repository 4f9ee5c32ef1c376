import type { Payload } from "./payload.js";

/** An input of so many bytes that several tasks become ready with is stored once for all of them. */
export const SHARED_INPUT_BYTES = 4_096;
/** Reading so much text costs a step, as in expressions. */
const BYTES_PER_STEP = 64;

/**
 * What one transaction may still spend on making tasks ready: bytes of their inputs and steps of their
 * expressions. The last task may overdraw it; whoever opens tasks asks before each one, and what finds
 * it spent is opened by a later transaction. So a graph of any width neither holds a replica up nor
 * makes a statement that is too large.
 */
export class OpeningBudget {
  #bytes: number;
  #steps: number;
  readonly #inputs = new Set<Payload>();

  constructor(bytes: number, steps: number) {
    this.#bytes = bytes;
    this.#steps = steps;
  }

  get isSpent(): boolean {
    return this.#bytes <= 0 || this.#steps <= 0;
  }

  /** Pays for writing an input; one that is shared is written once. */
  spendInput(input: Payload): void {
    const bytes = input.data.length;
    if (bytes >= SHARED_INPUT_BYTES && this.#inputs.has(input)) return;
    this.#inputs.add(input);
    this.spendBytes(bytes);
  }

  spendBytes(bytes: number): void {
    this.#bytes -= bytes;
  }

  spendSteps(steps: number): void {
    this.#steps -= steps;
  }

  /** Pays for reading so many bytes of JSON. */
  spendReading(bytes: number): void {
    this.spendSteps(bytes / BYTES_PER_STEP);
  }
}
