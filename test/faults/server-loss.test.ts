import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { makeTestDirectory, useDatabase } from "../support/database.js";
import { Load } from "../support/load.js";
import { startServer, type ServerOptions, type ServerProcess } from "../support/server-process.js";
import { chain, useClient } from "../support/step-client.js";
import { startWorker, useJournal } from "../support/worker-process.js";
import { Wire } from "../support/wire.js";

for (const [what, prepare] of [
  ["serve", async (t) => ({ databaseUrl: (await useDatabase(t, { durable: true })).url })],
  [
    "dev, with its own database,",
    async () => ({ command: "dev", env: { HEADRACE_DATA_DIR: await dataDir() } }),
  ],
] as ReadonlyArray<[string, (t: ExecutionContext) => Promise<ServerOptions>]>) {
  test.serial(
    `after kill -9 of ${what} and a new start workers resume, and nothing runs twice`,
    async (t) => {
      const options = await prepare(t);
      const first = await startServer(t, options);
      const { address, port } = first;
      const [client, notes] = [await useClient(t, address), await useJournal()];
      const workers = [];
      for (const name of ["one", "two"]) workers.push(await startWorker(t, { address, notes, name }));
      const inputs = Array.from({ length: 10 }, (_, value) => ({ hold: "go", value }));
      const handles = await client.startMany(chain, inputs);
      for (const { id } of handles) await notes.seen("start", { executionId: id, task: "step-2" });
      const [early, ...others] = handles;
      const results = Promise.all(others.map((handle) => handle.result()));
      await first.kill();
      // What ends while there is no server is kept by its worker.
      for (const worker of workers) worker.release("go");
      await notes.seen("end", { executionId: early!.id, task: "step-2" });
      await startServer(t, { ...options, port });
      t.deepEqual(
        (await results).map(({ value }) => value),
        inputs.slice(1).map(({ value }) => value),
      );
      t.is((await early!.result()).value, 0, "asked only after the restart");
      t.is(notes.starts().size, 3 * handles.length);
      t.deepEqual(new Set(notes.starts().values()), new Set([1]));
      await attemptsAreOne(
        t,
        address,
        handles.map(({ id }) => id),
      );
    },
  );
}

test.serial(
  "SIGTERM to a server under load loses nothing, burns no attempt and runs nothing twice",
  async (t) => {
    const { url: databaseUrl } = await useDatabase(t, { durable: true });
    const first = await startServer(t, { databaseUrl });
    const { address, port } = first;
    const [client, notes] = [await useClient(t, address), await useJournal()];
    await startWorker(t, { address, notes });
    const load = new Load(client, 8);
    let server: ServerProcess = first;
    for (let restarts = 0; restarts < 2; restarts++) {
      await load.more(100);
      t.deepEqual(await server.terminate(), { code: 0, signal: null });
      server = await startServer(t, { databaseUrl, port });
    }
    await load.more(100);
    const ids = await load.finish();
    t.deepEqual(new Set(notes.starts().values()), new Set([1]));
    t.is(notes.starts().size, 3 * ids.length, "no execution runs that was not acknowledged");
    await attemptsAreOne(t, address, ids.slice(0, 100));
  },
);

/** Neither a try nor a crash is counted of any task. */
async function attemptsAreOne(t: ExecutionContext, address: string, executionIds: string[]): Promise<void> {
  const wire = Wire.open(t, address);
  for (const executionId of executionIds) {
    const { tasks } = await wire.executions.unary("listTasks", { executionId });
    t.deepEqual(
      tasks.map(({ attempt, crashes }) => [attempt, crashes]),
      tasks.map(() => [1, 0]),
      executionId,
    );
  }
}

async function dataDir(): Promise<string> {
  const directory = join(await makeTestDirectory(), "data");
  await mkdir(directory);
  return directory;
}
