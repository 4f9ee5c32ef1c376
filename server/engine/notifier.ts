/** What one replica tells the others; payload-light, and only ever a hint. */
export type Hint = "work" | "executions";

/** How replicas wake each other. Everything works without it, by polling. */
export interface NotifyPort {
  notify(hints: readonly Hint[]): Promise<void>;
  /** Calls back on each hint of another replica, and with all hints after a reconnect. */
  onHint(listener: (hint: Hint) => void): void;
}

/** Coalesces hints, so that hot transactions never wait for a NOTIFY. */
export class Notifier {
  readonly #port: NotifyPort;
  readonly #intervalMs: number;
  readonly #isNeeded: () => boolean;
  readonly #onError: (error: unknown) => void;
  readonly #hints = new Set<Hint>();
  /** Set from the first hint until all have been sent. */
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(
    port: NotifyPort,
    options: { intervalMs: number; isNeeded: () => boolean; onError: (error: unknown) => void },
  ) {
    this.#port = port;
    this.#intervalMs = options.intervalMs;
    this.#isNeeded = options.isNeeded;
    this.#onError = options.onError;
  }

  /** Tells the other replicas soon, if there are any. */
  hint(hint: Hint): void {
    if (!this.#isNeeded()) return;
    this.#hints.add(hint);
    if (this.#timer === undefined && !this.#stopped) this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** One at a time: what is hinted at meanwhile goes with the next. */
  async #send(): Promise<void> {
    const hints = [...this.#hints];
    this.#hints.clear();
    await this.#port.notify(hints).catch(this.#onError);
    this.#timer = undefined;
    if (this.#hints.size > 0 && !this.#stopped) this.#arm();
  }

  #arm(): void {
    this.#timer = setTimeout(() => void this.#send(), this.#intervalMs);
  }
}
