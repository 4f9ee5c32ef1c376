import test from "ava";
import { uuidv7 } from "../../server/engine/ids.js";
import { Watch } from "../../server/engine/watch.js";
import { openStores } from "../../server/store/open-stores.js";
import { useDatabase } from "../support/database.js";
import { success } from "../support/scripted-worker.js";
import { startRequest, useEngine } from "../support/test-engine.js";
import { within } from "../support/until.js";

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

test("whoever stops waiting is forgotten, alone or with all that one signal waits for", async (t) => {
  const { config } = await useDatabase(t);
  const stores = openStores(config, { lanes: 1, notify: false, log: () => undefined });
  t.teardown(() => stores.close());
  const watch = new Watch(stores.executions, LOG, () => true);
  const stream = new AbortController();
  const keys = Array.from({ length: 3 }, () => ({ namespaceId: 1, executionId: uuidv7() }));
  const stops = keys.map((key) => watch.onEnd(key, () => t.fail("it has not ended"), stream.signal));
  t.is(watch.size, 3);
  stops[0]!();
  t.is(watch.size, 2);
  stream.abort();
  t.is(watch.size, 0);
  watch.onEnd(keys[0]!, () => t.fail("nobody waits"), stream.signal);
  t.is(watch.size, 0);
});

test("what happens while a watcher is busy with an update is told next", async (t) => {
  const replica = await useEngine(t);
  const worker = await replica.worker();
  const started = await replica.start();
  const held = await worker.received();
  const options = { afterRevision: 0, signal: new AbortController().signal };
  const updates = replica.engine.executions.watch("default", started.executionId, options);
  const iterator = updates[Symbol.asyncIterator]();
  t.like((await iterator.next()).value, { execution: { status: "RUNNING" } });
  await worker.succeed(held);
  await started.end();
  const next = await within("the end", iterator.next(), 3_000);
  t.like(next.value, { execution: { status: "COMPLETED" } });
});

test("an end is told once, and not to those that left", async (t) => {
  const replica = await useEngine(t);
  const worker = await replica.worker({ credit: 2 });
  const { executions } = replica.engine;
  const left = new AbortController();
  const ends: string[] = [];
  const start = (name: string, signal: AbortSignal) =>
    executions.start("default", startRequest({ onEnd: () => ends.push(name), signal }));
  await start("left", left.signal);
  await start("stays", new AbortController().signal);
  left.abort();
  for (const held of await worker.take(2)) await worker.report(held, success());
  t.deepEqual(ends, ["stays"]);
});
