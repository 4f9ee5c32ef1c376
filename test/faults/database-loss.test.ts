import { join } from "node:path";
import test from "ava";
import { startEmbedded, type EmbeddedPostgres } from "../../server/store/embedded/launch-postgres.js";
import { makeTestDirectory } from "../support/database.js";
import { Load } from "../support/load.js";
import { spawnServer, startServer, untilReady } from "../support/server-process.js";
import { single, useClient } from "../support/step-client.js";
import { startWorker, useJournal } from "../support/worker-process.js";

/** A cluster that the test stops and starts. Whatever runs at the end goes with its directory. */
async function makeCluster(): Promise<() => Promise<EmbeddedPostgres>> {
  const dataDir = join(await makeTestDirectory(), "postgres");
  return () => startEmbedded({ dataDir, log: () => undefined, settings: { shared_buffers: "32MB" } });
}

test.serial(
  "a server lives through restarts of its database, and what it acknowledged completes",
  async (t) => {
    const start = await makeCluster();
    let postgres = await start();
    const server = await startServer(t, { databaseUrl: postgres.url });
    const { address } = server;
    const [client, notes] = [await useClient(t, address), await useJournal()];
    const worker = await startWorker(t, { address, notes });
    const held = await client.start(single, { hold: "go" });
    const load = new Load(client, 8);
    for (let restarts = 0; restarts < 2; restarts++) {
      await load.more(100);
      await postgres.stop();
      postgres = await start();
    }
    await load.more(100);
    worker.release("go");
    t.is((await held.result()).attempt, 1);
    const ids = await load.finish();
    t.is(new Set(ids).size, ids.length);
    const completed = new Set<string>();
    for await (const { id } of client.list({ statuses: ["COMPLETED"], pageSize: 1_000 })) completed.add(id);
    for (const id of ids) t.true(completed.has(id), id);
    t.is(completed.size, ids.length + 1, "nothing runs that was not acknowledged");
    t.deepEqual(await server.terminate(), { code: 0, signal: null }, "it is still the same process");
    await postgres.stop();
  },
);

test.serial("a server that starts before its database says so and waits for it", async (t) => {
  const start = await makeCluster();
  const before = await start();
  await before.stop();
  const child = spawnServer(t, { databaseUrl: before.url });
  const line = await child.stderr.find((text) => text.includes("Waiting for PostgreSQL"), 10_000);
  t.true(line.includes("postgres"), "it names the place");
  t.is(child.stdout.all.length, 0);
  const postgres = await start();
  const { address } = await untilReady(child);
  t.true(child.stderr.all.some((text) => text.includes("PostgreSQL answers after")));
  const client = await useClient(t, address);
  t.is((await client.start(await client.put(single).then(({ name }) => name), {})).created, true);
  t.deepEqual(await child.terminate(), { code: 0, signal: null });
  await postgres.stop();
});
