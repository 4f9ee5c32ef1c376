import { HelperProcess } from "./calls.js";
import { startDatabase, type BenchDatabase } from "./database.js";
import type { LoadCalls } from "./load-process.js";
import type { RunContext } from "./scenario.js";
import { startServer, type ServerProcess } from "./server-process.js";
import type { WorkerCalls } from "./worker-process.js";
import type { Shape } from "./workflows.js";

/** Everything that runs an execution, each in processes of its own. */
export interface Stack {
  readonly database: BenchDatabase;
  readonly server: ServerProcess;
  readonly worker: HelperProcess<WorkerCalls>;
  readonly load: HelperProcess<LoadCalls>;
}

/** Starts an empty database, a server, one worker and one load generator for a workflow. */
export async function startStack(context: RunContext, shape: Shape): Promise<Stack> {
  const { cleanUp, note } = context;
  const database = await startDatabase(context);
  const server = await startServer(database.config.url, profileArguments(context, "server"));
  cleanUp.add(async () => {
    await server.stop();
    const log = server.log().trim();
    if (log !== "") note(`The server logged:\n${log}`);
  });
  const worker = startHelper<WorkerCalls>(context, "worker-process");
  await worker.call("serve", { address: server.address, shape });
  const load = startHelper<LoadCalls>(context, "load-process");
  await load.call("prepare", { address: server.address, shape });
  return { database, server, worker, load };
}

/** Starts a helper that ends with the scenario. */
export function startHelper<
  Offer extends { readonly [Name in keyof Offer]: (argument: never) => Promise<unknown> },
>(context: RunContext, module: string): HelperProcess<Offer> {
  const helper = new HelperProcess<Offer>(module, profileArguments(context, module));
  context.cleanUp.add(() => helper.stop());
  return helper;
}

/** Arguments of Node that write a CPU profile when the process ends. */
function profileArguments({ profileDir }: RunContext, name: string): string[] {
  if (profileDir === undefined) return [];
  return ["--cpu-prof", `--cpu-prof-dir=${profileDir}`, `--cpu-prof-name=${name}.cpuprofile`];
}
