import type { LeaseStore } from "../../server/engine/lease-store.js";

/** A database that is away for sessions and replicas: what it is asked meanwhile waits, or is refused. */
export class LeaseOutage {
  readonly #hangs: boolean;
  #back: Promise<void> | undefined;
  #end: () => void = () => undefined;

  constructor(hangs: boolean) {
    this.#hangs = hangs;
  }

  begin(): void {
    this.#back = new Promise((resolve) => (this.#end = resolve));
  }

  end(): void {
    this.#back = undefined;
    this.#end();
  }

  readonly wrapLeases = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) => {
        const call = target[name].bind(target) as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]) => {
          if (this.#back !== undefined && !this.#hangs) throw new Error("The database is away.");
          await this.#back;
          return await call(...args);
        };
      },
    });
}
