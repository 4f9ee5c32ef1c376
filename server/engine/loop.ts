import type { Log } from "./log.js";

/**
 * A background loop: runs its work, then again after the time that the work answers, or at once when
 * woken. A failure is logged and the work is tried again after a second, so a loop never ends before
 * it is stopped.
 */
export class Loop {
  readonly #name: string;
  readonly #work: () => Promise<number>;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #dueAtMs = Infinity;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = true;

  constructor(name: string, log: Log, work: () => Promise<number>) {
    this.#name = name;
    this.#log = log;
    this.#work = work;
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Runs the work now; while it runs, once more afterwards. */
  wake(): void {
    this.wakeIn(0);
  }

  /** Runs the work within this time, or earlier if it is due earlier. */
  wakeIn(ms: number): void {
    if (this.#stopped) return;
    if (this.#running !== undefined) {
      if (ms <= 0) this.#again = true;
      else this.#dueAtMs = Math.min(this.#dueAtMs, performance.now() + ms);
      return;
    }
    const dueAtMs = performance.now() + ms;
    if (this.#isArmed && dueAtMs >= this.#dueAtMs) return;
    this.#arm(dueAtMs);
  }

  /** Resolves when the work that runs has ended; none begins afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#disarm();
    await this.#running;
  }

  get #isArmed(): boolean {
    return this.#timer !== undefined || this.#immediate !== undefined;
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = this.#immediate = undefined;
  }

  #arm(dueAtMs: number): void {
    this.#disarm();
    this.#dueAtMs = dueAtMs;
    const ms = Math.min(dueAtMs - performance.now(), 2 ** 30);
    // A timer of 0 ms takes at least one; this is on the way of every claimed task.
    if (ms <= 0) this.#immediate = setImmediate(() => this.#begin());
    else this.#timer = setTimeout(() => this.#begin(), ms);
  }

  #begin(): void {
    this.#timer = this.#immediate = undefined;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    this.#dueAtMs = Infinity;
    let nextMs = 1_000;
    try {
      nextMs = await this.#work();
    } catch (error) {
      this.#log.warn({ loop: this.#name, err: error }, "background work failed, it is tried again");
    }
    this.#running = undefined;
    if (this.#stopped) return;
    const dueAtMs = this.#again ? performance.now() : Math.min(this.#dueAtMs, performance.now() + nextMs);
    this.#again = false;
    this.#arm(dueAtMs);
  }
}
