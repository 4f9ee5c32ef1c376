import test from "ava";
import { ExecutionFailedError } from "@headrace/sdk";
import { useDatabase } from "../support/database.js";
import { startServer } from "../support/server-process.js";
import { quarantined, single, useClient } from "../support/step-client.js";
import { startWorker, useJournal } from "../support/worker-process.js";
import { Wire } from "../support/wire.js";

const SHORT_BEATS = { HEADRACE_BEAT_TIMEOUT: "1s", HEADRACE_DELIVERY_TIMEOUT: "500ms" };

test.serial(
  "a task whose worker is killed runs on another worker within about the closed grace",
  async (t) => {
    const { url: databaseUrl } = await useDatabase(t, { durable: true });
    const { address } = await startServer(t, { databaseUrl });
    const [client, notes] = [await useClient(t, address), await useJournal()];
    const doomed = await startWorker(t, { address, notes, name: "doomed" });
    const handle = await client.start(single, { hold: "go", value: 7 });
    await notes.seen("start", { worker: "doomed" });
    const heir = await startWorker(t, { address, notes, name: "heir" });
    const killedAtMs = performance.now();
    await doomed.kill();
    await notes.seen("start", { worker: "heir", attempt: 1 });
    const tookMs = performance.now() - killedAtMs;
    t.true(tookMs < 5_000, `the task moved on after ${Math.round(tookMs)} ms`);
    heir.release("go");
    t.deepEqual(await handle.result(), { value: 7, worker: "heir", attempt: 1 });
    t.like(await Wire.open(t, address).task(handle.id, "step"), { attempt: 1, crashes: 1, worker: "heir" });
  },
);

for (const [when, ms, starts] of [
  ["after a while", 200, 1],
  // A worker that ends before it could acknowledge the task is held against it from the fourth time on.
  ["at once", undefined, 4],
] as const) {
  test.serial(
    `a task that ends its worker ${when} is quarantined, and the one beside it completes`,
    async (t) => {
      const { url: databaseUrl } = await useDatabase(t, { durable: true });
      const { address } = await startServer(t, { databaseUrl, env: { HEADRACE_CLOSED_GRACE: "100ms" } });
      const [client, notes] = [await useClient(t, address), await useJournal()];
      let worker = await startWorker(t, { address, notes });
      const innocent = await client.start(single, { hold: "go" });
      await notes.seen("start", { executionId: innocent.id });
      const poison = await client.start(quarantined, { crash: true, ...(ms === undefined ? {} : { ms }) });
      const quarantine = t.throwsAsync(poison.result(), { instanceOf: ExecutionFailedError });
      const isOver = quarantine.then(() => true);
      while (!(await Promise.race([isOver, worker.exited.then(() => false)]))) {
        worker = await startWorker(t, { address, notes });
      }
      worker.release("*");
      t.is((await innocent.result()).attempt, 1);
      t.is((await Wire.open(t, address).task(poison.id, "step")).failure?.reason, "WORKER_LOST");
      t.is(notes.starts().get(`${poison.id}/step`), starts);
    },
  );
}

test.serial("a worker that was frozen past the beat timeout changes nothing when it wakes", async (t) => {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl, env: SHORT_BEATS });
  const [client, notes] = [await useClient(t, address), await useJournal()];
  const wire = Wire.open(t, address);
  const frozen = await startWorker(t, { address, notes, name: "frozen" });
  const handle = await client.start(single, { hold: "go", stubborn: true, value: "right" });
  await notes.seen("start", { worker: "frozen" });
  const heir = await startWorker(t, { address, notes, name: "heir" });
  frozen.signal("SIGSTOP");
  frozen.release("go");
  await notes.seen("start", { worker: "heir" }, 10_000);
  heir.release("go");
  t.like(await handle.result(), { value: "right", worker: "heir" });
  const before = await wire.execution(handle.id);
  frozen.signal("SIGCONT");
  // It ends the task that is not its own any more, then serves on with a new session.
  await notes.seen("end", { worker: "frozen" });
  await heir.terminate();
  t.like(await client.run(single, {}), { worker: "frozen" });
  t.deepEqual(await wire.execution(handle.id), before);
  t.like(await wire.task(handle.id, "step"), { attempt: 1, crashes: 1, worker: "heir" });
});

test.serial("SIGTERM to a worker burns no attempt: what runs ends, what waits goes to others", async (t) => {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl });
  const [client, notes] = [await useClient(t, address), await useJournal()];
  const wire = Wire.open(t, address);
  const leaving = await startWorker(t, { address, notes, name: "leaving", concurrency: 1, prefetch: 2 });
  const handles = [];
  for (const value of [0, 1, 2]) handles.push(await client.start(single, { hold: "go", value }));
  const [running, ...queued] = handles;
  await notes.seen("start", { executionId: running!.id });
  for (const { id } of queued)
    t.is((await wire.task(id, "step")).worker, "leaving", "it waits in the worker");
  const heir = await startWorker(t, { address, notes, name: "heir" });
  heir.release("go");
  leaving.signal("SIGTERM");
  for (const each of queued) t.like(await each.result(), { worker: "heir", attempt: 1 });
  leaving.release("go");
  t.like(await running!.result(), { worker: "leaving", attempt: 1 });
  t.deepEqual(await leaving.exited, { code: null, signal: "SIGTERM" });
  for (const { id } of handles) {
    t.like(await wire.task(id, "step"), { attempt: 1, crashes: 0 });
    t.is(notes.starts().get(`${id}/step`), 1);
  }
});

test.serial(
  "a worker that ignores a cancellation holds nothing up, and its outcome comes too late",
  async (t) => {
    const { url: databaseUrl } = await useDatabase(t, { durable: true });
    const { address } = await startServer(t, { databaseUrl });
    const [client, notes] = [await useClient(t, address), await useJournal()];
    const wire = Wire.open(t, address);
    const worker = await startWorker(t, { address, notes });
    const handle = await client.start(single, { hold: "go", stubborn: true });
    await notes.seen("start", { executionId: handle.id });
    t.true(await handle.cancel({ reason: "enough", grace: "500ms" }));
    t.like(await t.throwsAsync(handle.result({ timeout: "10s" }), { instanceOf: ExecutionFailedError }), {
      status: "CANCELLED",
    });
    const before = [await wire.execution(handle.id), await wire.task(handle.id, "step")];
    worker.release("go");
    await notes.seen("end", { executionId: handle.id });
    t.like(await client.run(single, { value: "next" }), { value: "next" }, "its slot is free again");
    t.deepEqual([await wire.execution(handle.id), await wire.task(handle.id, "step")], before);
  },
);
