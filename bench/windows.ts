import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Mark } from "./load.js";

/** CPU time in milliseconds that something has used so far, by name. */
export type CpuMeters = Readonly<Record<string, () => number>>;

/** What happened in one window of time. */
export interface WindowFacts {
  readonly perSecond: number;
  /** Cores that each meter kept busy. */
  readonly cores: Readonly<Record<string, number>>;
}

export interface WindowOptions {
  readonly mark: () => Promise<Mark>;
  readonly meters: CpuMeters;
  readonly warmUpMs: number;
  readonly windowMs: number;
  readonly windows: number;
}

/** Looks at a load that goes on all the time: first a warm-up that does not count, then windows one after the other. */
export async function measureWindows(options: WindowOptions): Promise<WindowFacts[]> {
  await sleep(options.warmUpMs);
  const facts: WindowFacts[] = [];
  let before = await look(options);
  for (let window = 0; window < options.windows; window++) {
    await sleep(options.windowMs);
    const after = await look(options);
    facts.push(difference(before, after));
    before = after;
  }
  return facts;
}

interface Look {
  readonly mark: Mark;
  readonly atMs: number;
  readonly cpuMs: ReadonlyArray<readonly [name: string, ms: number]>;
}

async function look({ mark, meters }: WindowOptions): Promise<Look> {
  return {
    mark: await mark(),
    atMs: performance.now(),
    cpuMs: Object.entries(meters).map(([name, read]) => [name, read()] as const),
  };
}

function difference(before: Look, after: Look): WindowFacts {
  const elapsedMs = after.atMs - before.atMs;
  const used = after.cpuMs.map(
    ([name, ms], index) => [name, (ms - (before.cpuMs[index]?.[1] ?? 0)) / elapsedMs] as const,
  );
  return {
    perSecond: (1_000 * (after.mark.done - before.mark.done)) / (after.mark.atMs - before.mark.atMs),
    cores: Object.fromEntries(used),
  };
}
