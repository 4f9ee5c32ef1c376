/** The calls in progress, so that a drain can end those that only wait. */
export class OpenCalls {
  readonly #controllers = new Set<AbortController>();
  #reason: unknown;

  /** Notes a call. Its signal aborts with the drain, at once if that has begun. */
  begin(): AbortController {
    const controller = new AbortController();
    if (this.#reason === undefined) this.#controllers.add(controller);
    else controller.abort(this.#reason);
    return controller;
  }

  /** Forgets a call that is over. */
  end(controller: AbortController): void {
    this.#controllers.delete(controller);
  }

  /** Aborts the signals of all calls, and of those to come. */
  abort(reason: Error): void {
    this.#reason = reason;
    for (const controller of this.#controllers) controller.abort(reason);
    this.#controllers.clear();
  }
}
