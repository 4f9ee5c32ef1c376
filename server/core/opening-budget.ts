/** An input of so many bytes that several tasks become ready with is stored once for all of them. */
export const SHARED_INPUT_BYTES = 4_096;
/** Reading so much text costs a step, as in expressions. */
const BYTES_PER_STEP = 64;
/** Of many executions each may spend so much of the whole before others have had their turn. */
const SMALLEST_SHARE = 1 / 8;

/**
 * What one transaction may still spend on making tasks ready: bytes of their inputs and steps of their
 * expressions. Each execution has a share, so that a wide graph leaves room for those beside it. The
 * last task may overdraw it; whoever opens tasks asks before each one, and what finds it spent is
 * opened by a later transaction. So a graph of any width neither holds a replica up nor makes a
 * statement that is too large.
 */
export class OpeningBudget {
  readonly #share: Amount;
  readonly #left: Amount;
  #shareLeft: Amount;

  constructor(bytes: number, steps: number, executions = 1) {
    const part = Math.max(1 / Math.max(1, executions), SMALLEST_SHARE);
    this.#left = { bytes, steps };
    this.#share = { bytes: bytes * part, steps: steps * part };
    this.#shareLeft = { ...this.#share };
  }

  /** Gives the next execution its share. */
  nextExecution(): void {
    this.#shareLeft = { ...this.#share };
  }

  /** Whether nothing is left for any execution. */
  get isExhausted(): boolean {
    return isSpent(this.#left);
  }

  /** Whether the execution at hand must leave the rest for later. */
  get isSpent(): boolean {
    return isSpent(this.#shareLeft) || isSpent(this.#left);
  }

  spendBytes(bytes: number): void {
    this.#left.bytes -= bytes;
    this.#shareLeft.bytes -= bytes;
  }

  spendSteps(steps: number): void {
    this.#left.steps -= steps;
    this.#shareLeft.steps -= steps;
  }

  /** Pays for reading so many bytes of JSON. */
  spendReading(bytes: number): void {
    this.spendSteps(bytes / BYTES_PER_STEP);
  }
}

interface Amount {
  bytes: number;
  steps: number;
}

function isSpent({ bytes, steps }: Amount): boolean {
  return bytes <= 0 || steps <= 0;
}
