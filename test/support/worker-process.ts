import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import { Child } from "./child.js";
import { makeTestDirectory } from "./database.js";
import { EventLog } from "./event-log.js";
import type { ReleaseMessage, StepRecord, WorkerProgramOptions } from "./step.js";

const PROGRAM = fileURLToPath(new URL("worker-program.js", import.meta.url));
const READY_WITHIN_MS = 20_000;

/** What the workers of one test did. */
export class Journal {
  readonly path: string;
  /** The records as they come; what a killed worker did last may be missing here. */
  readonly live = new EventLog<StepRecord>();

  constructor(path: string) {
    this.path = path;
  }

  /** Every record, in the order in which it happened, over all workers. */
  read(): StepRecord[] {
    if (!existsSync(this.path)) return [];
    const lines = readFileSync(this.path, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as StepRecord);
  }

  /** How often each task started, by "execution/task". */
  starts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { event, executionId, task } of this.read()) {
      const key = `${executionId}/${task}`;
      if (event === "start") counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  }

  /** Waits until a worker has noted this of the task. */
  seen(event: StepRecord["event"], where: Partial<StepRecord>, timeoutMs?: number): Promise<StepRecord> {
    const wanted = Object.entries({ ...where, event });
    return this.live.find(
      (record) => wanted.every(([key, value]) => record[key as keyof StepRecord] === value),
      timeoutMs,
    );
  }
}

/** A journal in a directory that goes with the test's process. */
export async function useJournal(): Promise<Journal> {
  return new Journal(join(await makeTestDirectory(), "journal.jsonl"));
}

export type WorkerOptions = Pick<WorkerProgramOptions, "address"> &
  Partial<WorkerProgramOptions> & { readonly notes: Journal };

/** A worker as a process of its own, which serves the handler "step". */
export interface WorkerProcess extends Child {
  readonly name: string;
  /** Lets steps end that wait for the key; "*" means all, now and later. */
  release(key: string): void;
}

/** Starts a worker and waits until the server has welcomed it. Killed at the end of the test. */
export async function startWorker(t: ExecutionContext, options: WorkerOptions): Promise<WorkerProcess> {
  const { notes, address, name = "worker", concurrency = 100, prefetch = 0, queue = "default" } = options;
  const settings: WorkerProgramOptions = { address, name, concurrency, prefetch, queue, journal: notes.path };
  const child = new Child(PROGRAM, [], {
    env: { WORKER: JSON.stringify(settings) },
    onMessage: (message) => notes.live.push(message as StepRecord),
  });
  t.teardown(() => child.kill());
  await child.lineOf(/^worker: ready$/, READY_WITHIN_MS);
  return Object.assign(child, { name, release: (key: string) => child.send(releasing(key)) });
}

function releasing(release: string): ReleaseMessage {
  return { release };
}
