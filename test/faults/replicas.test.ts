import test from "ava";
import type { Client } from "@headrace/sdk";
import { useDatabase } from "../support/database.js";
import { startServer } from "../support/server-process.js";
import { chain, single, useClient } from "../support/step-client.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { startWorker, useJournal } from "../support/worker-process.js";
import { Wire } from "../support/wire.js";

for (const notify of ["on", "off"]) {
  test.serial(
    `what is asked of one replica reaches the workers of the other, NOTIFY ${notify}`,
    async (t) => {
      const { url: databaseUrl } = await useDatabase(t, { durable: true });
      const env = { HEADRACE_NOTIFY: notify };
      const [a, b] = [await startServer(t, { databaseUrl, env }), await startServer(t, { databaseUrl, env })];
      const [client, notes] = [await useClient(t, a.address), await useJournal()];
      const busy = await startWorker(t, { address: a.address, notes, name: "on-a", concurrency: 1 });
      const blocker = await client.start(single, { hold: "blocker" });
      await notes.seen("start", { executionId: blocker.id, worker: "on-a" });
      const free = await startWorker(t, { address: b.address, notes, name: "on-b" });

      const tookMs = await medianRunMs(client, notify === "on" ? 5 : 1);
      if (notify === "on")
        t.true(tookMs < 400, `a run took ${Math.round(tookMs)} ms, as if nobody was notified`);

      const watched = await client.start(chain, { hold: "watched" });
      const statuses = new Set<string>();
      await notes.seen("start", { executionId: watched.id, task: "step-2", worker: "on-b" });
      const result = watched.result();
      free.release("watched");
      for await (const { execution, tasks } of watched.watch()) {
        statuses.add(execution.status);
        for (const { id, status } of tasks) statuses.add(`${id} ${status}`);
      }
      for (const status of ["COMPLETED", "step COMPLETED", "step-2 COMPLETED", "step-3 COMPLETED"]) {
        t.true(statuses.has(status), `the watch on the first replica saw ${status}`);
      }
      t.is((await result).worker, "on-b");

      const cancelled = await client.start(single, { hold: "never" });
      await notes.seen("start", { executionId: cancelled.id, worker: "on-b" });
      t.true(await cancelled.cancel({ reason: "enough" }));
      const { reason } = await notes.seen("cancelled", { executionId: cancelled.id, worker: "on-b" });
      t.regex(reason ?? "", /EXECUTION_CANCELLED/);
      await t.throwsAsync(cancelled.result(), { message: /cancel/i });
      busy.release("blocker");
      t.is((await blocker.result()).worker, "on-a");
    },
  );
}

test.serial(
  "the workers of a replica that is killed resume on another, and nothing runs twice",
  async (t) => {
    const { url: databaseUrl } = await useDatabase(t, { durable: true });
    const [a, b] = [await startServer(t, { databaseUrl }), await startServer(t, { databaseUrl })];
    const [client, notes] = [await useClient(t, a.address), await useJournal()];
    const balancer = await TcpProxy.start(t, b.port);
    const workers = [];
    for (const name of ["one", "two"]) {
      workers.push(await startWorker(t, { address: balancer.address, notes, name, concurrency: 5 }));
    }
    const handles = await client.startMany(
      chain,
      Array.from({ length: 10 }, () => ({ hold: "go" })),
    );
    for (const { id } of handles) await notes.seen("start", { executionId: id, task: "step-2" });
    balancer.retarget(a.port);
    await b.kill();
    for (const worker of workers) worker.release("go");
    await Promise.all(handles.map((handle) => handle.result()));
    t.is(notes.starts().size, 3 * handles.length);
    t.deepEqual(new Set(notes.starts().values()), new Set([1]));
  },
);

test.serial(
  "tasks of a replica that dies with its worker run elsewhere once its lease is over",
  async (t) => {
    const { url: databaseUrl } = await useDatabase(t, { durable: true });
    const env = { HEADRACE_LEASE: "2s" };
    const [a, b] = [await startServer(t, { databaseUrl, env }), await startServer(t, { databaseUrl, env })];
    const [client, notes] = [await useClient(t, a.address), await useJournal()];
    const lost = await startWorker(t, { address: b.address, notes, name: "lost" });
    const handle = await client.start(single, { hold: "go" });
    await notes.seen("start", { worker: "lost" });
    await Promise.all([b.kill(), lost.kill()]);
    const heir = await startWorker(t, { address: a.address, notes, name: "heir" });
    heir.release("go");
    t.like(await handle.result({ timeout: "20s" }), { worker: "heir", attempt: 1 });
    // A machine that died says nothing of the task.
    t.like(await Wire.open(t, a.address).task(handle.id, "step"), { attempt: 1, crashes: 0 });
  },
);

async function medianRunMs(client: Client, runs: number): Promise<number> {
  const timesMs: number[] = [];
  for (let run = 0; run < runs; run++) {
    const startedAtMs = performance.now();
    const { worker } = await client.run(single, {});
    if (worker !== "on-b") throw new Error(`${worker} has no free slot, and ran the task`);
    timesMs.push(performance.now() - startedAtMs);
  }
  return timesMs.sort((a, b) => a - b)[Math.floor(runs / 2)]!;
}
