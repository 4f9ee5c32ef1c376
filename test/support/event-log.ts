/** What happened, in order, and a way to wait for it. */
export class EventLog<E> {
  readonly all: E[] = [];
  readonly #waiting = new Set<() => void>();

  push(event: E): void {
    this.all.push(event);
    for (const look of this.#waiting) look();
  }

  /** The first event, past or to come, that the predicate accepts. Rejects after the timeout. */
  async find<F extends E>(predicate: (event: E) => event is F, timeoutMs?: number): Promise<F>;
  async find(predicate: (event: E) => boolean, timeoutMs?: number): Promise<E>;
  async find(predicate: (event: E) => boolean, timeoutMs = 5_000): Promise<E> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.all.find(predicate);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`no such event within ${timeoutMs} ms; seen: ${JSON.stringify(this.all, bigints)}`));
      }, timeoutMs);
      this.#waiting.add(look);
      look();
    });
  }
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
