import test, { type ExecutionContext } from "ava";
import { useDatabase } from "../support/database.js";
import { startServer } from "../support/server-process.js";
import { chain, single, useClient } from "../support/step-client.js";
import { TcpProxy, type Direction } from "../support/tcp-proxy.js";
import { startWorker, useJournal } from "../support/worker-process.js";
import { Wire } from "../support/wire.js";

/** A server, a direct client, and a worker whose line the test can break. */
async function setUp(t: ExecutionContext, env: Record<string, string> = {}) {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const { address, port } = await startServer(t, { databaseUrl, env });
  const [client, notes, line] = [
    await useClient(t, address),
    await useJournal(),
    await TcpProxy.start(t, port),
  ];
  const worker = await startWorker(t, { address: line.address, notes, name: "far" });
  return { address, client, notes, line, worker, wire: Wire.open(t, address) };
}

test.serial("a worker whose stream breaks resumes, and its tasks run once", async (t) => {
  const { client, notes, line, worker } = await setUp(t);
  const inputs = Array.from({ length: 20 }, (_, value) => ({ hold: `go ${value % 2}`, value }));
  const handles = await client.startMany(chain, inputs);
  for (const { id } of handles) await notes.seen("start", { executionId: id, task: "step-2" });
  line.cut();
  // Some outcomes are ready while there is no stream, or while it breaks once more.
  worker.release("go 0");
  await notes.seen("end", { executionId: handles[0]!.id, task: "step-2" });
  line.cut();
  worker.release("go 1");
  for (const [index, handle] of handles.entries()) t.is((await handle.result()).value, index);
  t.is(notes.starts().size, 3 * handles.length);
  t.deepEqual(new Set(notes.starts().values()), new Set([1]));
});

test.serial("a line that carries everything late breaks nothing", async (t) => {
  const { client, notes, line } = await setUp(t);
  line.delay(150);
  const startedAtMs = performance.now();
  t.like(await client.run(single, { value: 1 }), { value: 1, attempt: 1 });
  t.true(performance.now() - startedAtMs >= 300, "there and back");
  t.is(notes.starts().size, 1);
});

test.serial(
  "a line that is silent in both directions for less than the beat timeout breaks nothing",
  async (t) => {
    const { client, notes, line, worker, wire } = await setUp(t, {
      HEADRACE_BEAT_TIMEOUT: "20s",
      HEADRACE_DELIVERY_TIMEOUT: "20s",
    });
    const [held, other] = [
      await client.start(single, { hold: "go" }),
      await client.start(single, { hold: "go" }),
    ];
    for (const { id } of [held, other]) await notes.seen("start", { executionId: id });
    line.stall("up", "down");
    worker.release("go");
    for (const { id } of [held, other]) await notes.seen("end", { executionId: id });
    const sent = await client.start(single, {});
    t.is((await wire.execution(held.id)).finishedAt, undefined, "nothing comes through");
    line.flow();
    for (const handle of [held, other, sent]) t.is((await handle.result()).attempt, 1);
    t.deepEqual([...notes.starts().values()], [1, 1, 1]);
  },
);

for (const [what, ...directions] of [
  ["towards the worker", "down"],
  ["towards the server", "up"],
  ["in both directions", "up", "down"],
] as ReadonlyArray<[string, ...Direction[]]>) {
  test.serial(
    `a line that is dead ${what}: its tasks go to another worker as the same attempt`,
    async (t) => {
      const { address, client, notes, line, worker, wire } = await setUp(t, {
        HEADRACE_BEAT_TIMEOUT: "1500ms",
        HEADRACE_DELIVERY_TIMEOUT: "700ms",
      });
      line.stall(...directions);
      const handle = await client.start(single, { hold: "go", value: "right", stubborn: true });
      const near = await startWorker(t, { address, notes, name: "near" });
      await notes.seen("start", { worker: "near" }, 10_000);
      const { lease } = await wire.task(handle.id, "step");
      t.true(lease > 1n, "it was handed out into the dead line before");
      near.release("go");
      t.like(await handle.result(), { value: "right", worker: "near", attempt: 1 });
      t.like(await wire.task(handle.id, "step"), { attempt: 1, crashes: 0 });
      const before = await wire.execution(handle.id);
      line.flow();
      worker.release("go");
      await near.terminate();
      // The far worker is back, and what it was late with has changed nothing.
      t.like(await client.run(single, {}, { timeout: "20s" }), { worker: "far" });
      t.deepEqual(await wire.execution(handle.id), before);
    },
  );
}
