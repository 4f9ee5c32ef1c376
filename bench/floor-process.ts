import { performance } from "node:perf_hooks";
import type { TaskKey } from "../server/engine/commit-store.js";
import { PostgresCommitStore } from "../server/store/commit-store.js";
import type { DatabaseConfig } from "../server/store/connection.js";
import { openPipeline } from "../server/store/pipeline-client.js";
import { offerCalls } from "./calls.js";
import { locksOf, newKeys, writesOf } from "./floor-writes.js";
import type { Mark } from "./load.js";

/** The process that writes what `single` writes, with no server in between. */
export interface FloorCalls {
  /** Begins to write: in each transaction so many executions start and as many complete. */
  begin(argument: {
    readonly config: DatabaseConfig;
    readonly lanes: number;
    readonly batch: number;
  }): Promise<void>;
  mark(): Promise<Mark>;
  /** Completes what was started; answers how many executions there are. */
  stop(): Promise<number>;
}

let store: PostgresCommitStore | undefined;
let work: Promise<unknown> = Promise.resolve();
let stopped = false;
let done = 0;

async function write(lane: number, batch: number): Promise<void> {
  let open: TaskKey[] = [];
  do {
    const started = stopped ? [] : newKeys(batch);
    const completed = open;
    await store?.transact(lane, locksOf(completed), (rows) => writesOf(started, rows));
    done += completed.length;
    open = started;
  } while (open.length > 0);
}

offerCalls<FloorCalls>(
  {
    begin: async ({ config, lanes, batch }) => {
      const connections = Array.from({ length: lanes }, (_, lane) =>
        openPipeline(config, { purpose: `floor ${lane}`, hot: true }),
      );
      store = new PostgresCommitStore(connections);
      work = Promise.all(connections.map((_, lane) => write(lane, batch)));
      // Told by `mark` or `stop`, whichever is asked first.
      work.catch(() => (stopped = true));
    },
    mark: async () => {
      if (stopped) await work;
      return { done, atMs: performance.now() };
    },
    stop: async () => {
      stopped = true;
      await work;
      return done;
    },
  },
  async () => store?.close(),
);
