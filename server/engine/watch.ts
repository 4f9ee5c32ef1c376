import type { ExecutionState } from "../core/execution-state.js";
import { isTerminal } from "../core/status.js";
import type { ExecutionEnd } from "./api.js";
import { executionKeyText, type ExecutionKey } from "./commit-store.js";
import type { ExecutionStore } from "./execution-store.js";
import type { Log } from "./log.js";
import { Loop } from "./loop.js";

/** How often ends are looked for that another replica may have committed. */
const POLL_MS = 1_000;
/** The same while no other replica is known of. */
const ALONE_POLL_MS = 10_000;
const BATCH = 5_000;

interface Waiting {
  readonly listener: (end: ExecutionEnd) => void;
  readonly signal: AbortSignal | undefined;
}

interface Watched extends ExecutionKey {
  /** Of the key. */
  readonly name: string;
  readonly onEnd: Set<Waiting>;
  readonly onChange: Set<() => void>;
}

/** Who waits for what happens to executions, on this replica. */
export class Watch {
  readonly #watched = new Map<string, Watched>();
  readonly #store: ExecutionStore;
  readonly #isAlone: () => boolean;
  readonly #poll: Loop;
  readonly #heeded = new WeakSet<AbortSignal>();
  #lookedAtMs = -Infinity;

  constructor(store: ExecutionStore, log: Log, isAlone: () => boolean) {
    this.#store = store;
    this.#isAlone = isAlone;
    this.#poll = new Loop("watch", log, () => this.#look());
  }

  start(): void {
    this.#poll.start();
  }

  async stop(): Promise<void> {
    await this.#poll.stop();
  }

  /** Calls back once when the execution has ended. The signal, or the answer, stops waiting. */
  onEnd(key: ExecutionKey, listener: (end: ExecutionEnd) => void, signal?: AbortSignal): () => void {
    const watched = this.#watch(key);
    const waiting: Waiting = { listener, signal };
    watched.onEnd.add(waiting);
    const stop = (): void => {
      watched.onEnd.delete(waiting);
      this.#drop(watched);
    };
    if (signal?.aborted === true) stop();
    else if (signal !== undefined) this.#heed(signal);
    return stop;
  }

  /** Calls back whenever something may have changed; the answer stops watching. */
  onChange(key: ExecutionKey, listener: () => void): () => void {
    const watched = this.#watch(key);
    watched.onChange.add(listener);
    return () => {
      watched.onChange.delete(listener);
      this.#drop(watched);
    };
  }

  /** A commit changed this execution. */
  changed(state: ExecutionState): void {
    const watched = this.#watched.get(executionKeyText(state.facts));
    if (watched === undefined) return;
    for (const listener of watched.onChange) listener();
    if (isTerminal(state.status)) this.#ended(watched, endOf(state));
  }

  /** A worker took a task or made progress, which no revision shows. */
  stirred(key: ExecutionKey): void {
    for (const listener of this.#watched.get(executionKeyText(key))?.onChange ?? []) listener();
  }

  /** How many executions somebody waits for or watches. */
  get size(): number {
    return this.#watched.size;
  }

  /** Another replica says that executions changed. */
  wake(): void {
    this.#lookedAtMs = -Infinity;
    if (this.#watched.size > 0) this.#poll.wake();
  }

  /** A stream waits for thousands of ends, so its signal has one listener, which looks for them all. */
  #heed(signal: AbortSignal): void {
    if (this.#heeded.has(signal)) return;
    this.#heeded.add(signal);
    const stopAll = (): void => {
      for (const watched of [...this.#watched.values()]) {
        for (const waiting of watched.onEnd) if (waiting.signal === signal) watched.onEnd.delete(waiting);
        this.#drop(watched);
      }
    };
    signal.addEventListener("abort", stopAll, { once: true });
  }

  #watch({ namespaceId, executionId }: ExecutionKey): Watched {
    const name = executionKeyText({ namespaceId, executionId });
    let watched = this.#watched.get(name);
    if (watched === undefined) {
      watched = { name, namespaceId, executionId, onEnd: new Set(), onChange: new Set() };
      this.#watched.set(name, watched);
    }
    return watched;
  }

  #drop(watched: Watched): void {
    if (watched.onEnd.size + watched.onChange.size > 0) return;
    if (this.#watched.get(watched.name) === watched) this.#watched.delete(watched.name);
  }

  #ended(watched: Watched, end: ExecutionEnd): void {
    const listeners = [...watched.onEnd];
    watched.onEnd.clear();
    this.#drop(watched);
    for (const { listener } of listeners) listener(end);
  }

  async #look(): Promise<number> {
    const nowMs = performance.now();
    if (this.#isAlone() && nowMs - this.#lookedAtMs < ALONE_POLL_MS) return POLL_MS;
    this.#lookedAtMs = nowMs;
    const watched = [...this.#watched.values()];
    for (let from = 0; from < watched.length; from += BATCH) {
      const ended = await this.#store.findEnded(
        watched.slice(from, from + BATCH).filter(({ onEnd }) => onEnd.size > 0),
      );
      for (const end of ended) {
        const waiting = this.#watched.get(executionKeyText(end));
        if (waiting !== undefined) this.#ended(waiting, end);
      }
    }
    for (const { onChange } of watched) for (const listener of onChange) listener();
    return POLL_MS;
  }
}

/** How an execution ended, from its state. */
export function endOf(state: ExecutionState): ExecutionEnd {
  const { status, output, failure } = state;
  return { executionId: state.facts.executionId, status, output, failure };
}
