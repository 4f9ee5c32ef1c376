/** Something that may happen, and that one caller at a time waits for. */
export class Signal {
  #raised = false;
  #wake: (() => void) | undefined;

  /** It has happened; who waits goes on. */
  raise(): void {
    this.#raised = true;
    this.#wake?.();
  }

  /** Whether it has happened since the last time that this was asked. */
  take(): boolean {
    const raised = this.#raised;
    this.#raised = false;
    return raised;
  }

  /** Resolves when it has happened, when the time is over, or when the signal aborts. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#raised || signal.aborted) return;
    let timer: NodeJS.Timeout | undefined;
    const wake = await new Promise<() => void>((resolve) => {
      const wakeUp = (): void => resolve(wakeUp);
      this.#wake = wakeUp;
      if (timeoutMs < 2 ** 31) timer = setTimeout(wakeUp, timeoutMs);
      signal.addEventListener("abort", wakeUp, { once: true });
    });
    clearTimeout(timer);
    signal.removeEventListener("abort", wake);
    this.#wake = undefined;
  }
}
