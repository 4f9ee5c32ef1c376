import type { ExecutionHandle } from "@headrace/sdk";
import { connect } from "@headrace/sdk";

import { census } from "./census.js";
import { requireFolder } from "./list-files.js";
import { allGone, startServer, startWorker } from "./processes.js";
import { censusText, hintText, shardText } from "./report-text.js";

/**
 * Takes a census of a folder with a server and two workers of its own, and prints it. Answers the id of
 * the execution when it has completed and all processes have ended, which they also have when it throws.
 */
export async function takeCensus(folder: string, signal: AbortSignal): Promise<string> {
  await requireFolder(folder);
  forgetOtherServers();
  console.log(`A census of ${folder}\n`);
  await using server = await startServer(process.env["HEADRACE_BIN"], signal);
  console.log(`  server     ${server.address} (process ${server.pid})`);
  await using first = await startWorker("census-1", server.address, signal);
  await using second = await startWorker("census-2", server.address, signal);
  const workers = [first, second];
  for (const worker of workers) {
    console.log(`  worker     ${worker.name} (process ${worker.pid})`);
    worker.gone.addEventListener("abort", () => console.log(`  ${(worker.gone.reason as Error).message}`));
  }
  await using headrace = await connect({ address: server.address, callTimeout: "10s" });
  const handle = await headrace.start(census, { folder });
  console.log(`  execution  ${handle.id}\n  trace      ${handle.traceId}\n`);

  const shardsOf = await follow(handle, AbortSignal.any([signal, server.gone, allGone(workers)]));
  console.log(censusText(await handle.result()));
  const { startedAt, finishedAt } = await headrace.get(handle.id);
  console.log(shardText(shardsOf, Number(finishedAt) - Number(startedAt)));
  console.log(hintText(handle.id));
  return handle.id;
}

/** Waits for the end, and answers how many shards each worker measured. Cancels the execution when aborted. */
async function follow(
  handle: ExecutionHandle<unknown>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const workerOf = new Map<string, string>();
  try {
    for await (const { tasks } of handle.watch({ signal })) {
      for (const { id, worker } of tasks) if (id.startsWith("measure-")) workerOf.set(id, worker);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    // It would go on with the next server and worker. When the server is what is gone, that is so.
    await handle.cancel({ reason: "interrupted", grace: "1s" }).catch(() => false);
    throw signal.reason;
  }
  const shards = new Map<string, number>();
  for (const worker of workerOf.values()) shards.set(worker, (shards.get(worker) ?? 0) + 1);
  return shards;
}

/** Settings of another server, or of another program with a database, are not for this one. */
function forgetOtherServers(): void {
  for (const name of Object.keys(process.env)) {
    if (name === "HEADRACE_BIN" || name === "HEADRACE_DATA_DIR") continue;
    if (/^(HEADRACE_|DB_|DATABASE_URL$|APP_NAME$|GIT_)/.test(name)) Reflect.deleteProperty(process.env, name);
  }
}
