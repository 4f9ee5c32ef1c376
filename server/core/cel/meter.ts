import { ExpressionError } from "../expression-error.js";

const CHARS_PER_STEP = 64;

/**
 * What an evaluation may still spend. Every operation pays before it works, in proportion to the
 * work, so that a few microseconds per hundred steps hold for any expression and any input.
 */
export class Meter {
  readonly #budget: number;
  #left: number;

  constructor(steps: number) {
    this.#budget = steps;
    this.#left = steps;
  }

  /** Pays for steps. Throws EXPRESSION_TOO_COSTLY when the budget is used up. */
  charge(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw this.#exhausted();
  }

  /** Pays for reading or making so many characters or bytes. */
  chargeText(chars: number): void {
    this.charge(1 + Math.floor(chars / CHARS_PER_STEP));
  }

  /** Steps that were paid for. */
  get spent(): number {
    return this.#budget - this.#left;
  }

  /** Steps that are left. */
  get left(): number {
    return this.#left;
  }

  #exhausted(): ExpressionError {
    return new ExpressionError(
      "EXPRESSION_TOO_COSTLY",
      `The expression was stopped after ${this.#budget} steps. Loop over fewer items, nest fewer loops, or do it in a task.`,
    );
  }
}
