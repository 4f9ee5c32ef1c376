interface Waiter<T> {
  readonly matches: (message: T) => boolean;
  readonly resolve: (message: T) => void;
}

/** Messages in order of arrival; `take` gives the first that matches, waiting for it if need be. */
export class Inbox<T> {
  /** Everything that ever arrived. */
  readonly all: T[] = [];
  #left: T[] = [];
  #waiters: Array<Waiter<T>> = [];

  put(message: T): void {
    this.all.push(message);
    const at = this.#waiters.findIndex((waiter) => waiter.matches(message));
    if (at < 0) this.#left.push(message);
    else this.#waiters.splice(at, 1)[0]?.resolve(message);
  }

  async take(matches: (message: T) => boolean = () => true): Promise<T> {
    const at = this.#left.findIndex(matches);
    if (at >= 0) return this.#left.splice(at, 1)[0]!;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("no such message arrived in 8 s")), 8_000);
      const settle = (message: T): void => {
        clearTimeout(timer);
        resolve(message);
      };
      this.#waiters.push({ matches, resolve: settle });
    });
  }
}
