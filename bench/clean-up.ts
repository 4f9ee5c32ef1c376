/** What a scenario has opened, to be closed in the opposite order however the scenario ends. */
export class CleanUp {
  readonly #steps: Array<() => Promise<void>> = [];

  /** The step runs once, also when steps before it failed. */
  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** Rejects with the first error, after every step has run. */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }
}
