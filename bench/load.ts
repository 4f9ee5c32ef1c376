import { performance } from "node:perf_hooks";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

/** Runs one execution and rejects unless its output is right. `n` is its number, from 0. */
export type RunOne = (n: number) => Promise<void>;

/** How much was done by when, on the clock of the process that did it. */
export interface Mark {
  readonly done: number;
  readonly atMs: number;
}

/** Keeps a fixed number of executions in flight until it is stopped. */
export class Saturation {
  readonly #runOne: RunOne;
  readonly #loops: Promise<void>;
  #started = 0;
  #done = 0;
  #stopped = false;

  constructor(runOne: RunOne, inFlight: number) {
    this.#runOne = runOne;
    this.#loops = Promise.all(Array.from({ length: inFlight }, () => this.#loop())).then(() => undefined);
    // Told by `mark` or `stop`, whichever is asked first.
    this.#loops.catch(() => (this.#stopped = true));
  }

  /** Rejects with the first error, if there was one. */
  async mark(): Promise<Mark> {
    const mark = { done: this.#done, atMs: performance.now() };
    if (this.#stopped) await this.#loops;
    return mark;
  }

  /** Waits for what is in flight. Resolves with how many executions ran in all. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#loops;
    return this.#done;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await this.#runOne(this.#started++);
      this.#done++;
    }
  }
}

/** An open loop: executions start by the clock, whether or not earlier ones have ended. */
export interface Pace {
  readonly perSecond: number;
  /** How many starts are left out at the beginning. */
  readonly warmUp: number;
  readonly count: number;
}

/** With so many in flight the server does not keep up, and there is nothing to measure. */
const IN_FLIGHT_LIMIT = 5_000;

/**
 * The time of each execution in milliseconds, counted from the moment at which it was to start. So
 * one that had to start late because the one before it held everything up is counted in full.
 */
export async function runPaced(runOne: RunOne, { perSecond, warmUp, count }: Pace): Promise<number[]> {
  const times: number[] = [];
  const ends: Promise<void>[] = [];
  const failures: unknown[] = [];
  let inFlight = 0;
  const beginMs = performance.now();
  for (let n = 0; n < warmUp + count; n++) {
    const dueMs = beginMs + (n * 1_000) / perSecond;
    await waitUntil(dueMs);
    if (failures.length > 0) break;
    if (++inFlight > IN_FLIGHT_LIMIT)
      throw new Error(`${IN_FLIGHT_LIMIT} executions are in flight at ${perSecond}/s`);
    const end = runOne(n).then(() => {
      inFlight--;
      if (n >= warmUp) times.push(performance.now() - dueMs);
    });
    ends.push(end.catch((error: unknown) => void failures.push(error)));
  }
  await Promise.all(ends);
  if (failures.length > 0) throw failures[0];
  return times;
}

/** Timers are late by up to a millisecond or two, so the last stretch is waited for turn by turn. */
async function waitUntil(dueMs: number): Promise<void> {
  const sleepMs = Math.floor(dueMs - performance.now() - 2);
  if (sleepMs > 0) await sleep(sleepMs);
  while (performance.now() < dueMs) await turn();
}

/** The times in milliseconds of executions that run one after the other. */
export async function runSerially(runOne: RunOne, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const fromMs = performance.now();
    await runOne(n);
    times.push(performance.now() - fromMs);
  }
  return times;
}
