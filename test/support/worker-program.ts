import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, task, type TaskContext } from "@headrace/sdk";
import type { ReleaseMessage, StepInput, StepOutput, StepRecord, WorkerProgramOptions } from "./step.js";

// A worker that does what the inputs of its tasks say, and notes in a file what it did.

const options = JSON.parse(process.env["WORKER"] ?? "") as WorkerProgramOptions;
const released = new Set<string>();
const waiting = new Map<string, Set<() => void>>();

function note(event: StepRecord["event"], context: TaskContext, reason?: string): void {
  const { executionId, taskId: task, attempt } = context;
  const record: StepRecord = {
    ...{ event, worker: options.name, executionId, task, attempt },
    ...(reason === undefined ? {} : { reason }),
  };
  // Appended at once and as a whole, so that the lines of all workers are in the order of what happened.
  appendFileSync(options.journal, `${JSON.stringify(record)}\n`);
  process.send?.(record);
}

function untilReleased(key: string): Promise<void> {
  if (released.has(key) || released.has("*")) return Promise.resolve();
  return new Promise((resolve) => {
    const waiters = waiting.get(key) ?? new Set();
    waiting.set(key, waiters.add(resolve));
  });
}

function release(key: string): void {
  released.add(key);
  for (const [waitingFor, waiters] of waiting) {
    if (key !== "*" && key !== waitingFor) continue;
    for (const resolve of waiters) resolve();
    waiting.delete(waitingFor);
  }
}

async function work({ ms, hold }: StepInput, signal: AbortSignal | undefined): Promise<void> {
  if (ms !== undefined) await sleep(ms, undefined, signal === undefined ? {} : { signal });
  if (hold === undefined) return;
  await Promise.race([untilReleased(hold), ...(signal === undefined ? [] : [untilAborted(signal)])]);
  signal?.throwIfAborted();
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

const step = task(
  "step",
  async (input: StepInput, context): Promise<StepOutput> => {
    note("start", context);
    try {
      if (input.ms !== undefined || input.hold !== undefined)
        await work(input, input.stubborn === true ? undefined : context.signal);
    } catch (error) {
      if (!context.signal.aborted) throw error;
      const reason: unknown = context.signal.reason;
      note("cancelled", context, reason instanceof Error ? reason.message : String(reason));
      throw reason;
    }
    if (input.crash === true) process.kill(process.pid, "SIGKILL");
    note("end", context);
    return { value: input.value ?? null, worker: options.name, attempt: context.attempt };
  },
  { queue: options.queue },
);

process.on("message", (message: ReleaseMessage) => release(message.release));
// Without the test there is nobody to work for.
process.on("disconnect", () => process.exit(1));
const client = await connect({ address: options.address, onWarning: () => undefined });
await client.serve(step, {
  name: options.name,
  concurrency: options.concurrency,
  prefetch: options.prefetch,
});
process.stdout.write("worker: ready\n");
