import { setTimeout as sleep } from "node:timers/promises";

import type { Ref } from "@headrace/sdk";
import { connect, ExecutionFailedError, task, workflow } from "@headrace/sdk";

const copy = task("copy", async (files: number, context) => {
  for (let done = 0; done < files; done++) {
    context.progress(done, files);
    // Whatever takes the signal stops when the execution is cancelled, or the attempt times out.
    await sleep(100, undefined, { signal: context.signal });
  }
});
const backup = workflow("backup", (files: Ref<number>) => copy(files));

await using headrace = await connect();
await headrace.serve(backup);

const handle = await headrace.start(backup, 1_000);
for await (const { execution, tasks } of handle.watch()) {
  console.log(execution.status, tasks.map((each) => `${each.id} ${each.status}`).join(", "));
  if (tasks.some((each) => each.status === "RUNNING")) await handle.cancel({ reason: "changed my mind" });
}
try {
  await handle.result();
} catch (error) {
  if (!(error instanceof ExecutionFailedError)) throw error;
  console.log(`ended ${error.status}`);
}
