import { setTimeout as sleep } from "node:timers/promises";

import { connect, task } from "../../src/index.js";

// A program with a worker, to be ended by a signal. Its handler runs for a moment and does not look at it.
const client = await connect();
await client.serve(
  task("work", async () => {
    process.send?.("running");
    await sleep(300);
    return "finished";
  }),
  { concurrency: 1, prefetch: 1 },
);
