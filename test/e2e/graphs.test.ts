import test from "ava";
import { connect } from "@headrace/sdk";
import { useDatabase } from "../support/database.js";
import { startServer } from "../support/server-process.js";
import type { StepRecord } from "../support/step.js";
import { readWfInstances, type WfInstance } from "../support/wf-instance.js";
import { startWorker, useJournal } from "../support/worker-process.js";
import { Wire } from "../support/wire.js";

/** A critical path of 12 minutes becomes one of 4 s. */
const MS_PER_SECOND = 5;
const RETRIES = { maxAttempts: 1 };

const instances = readWfInstances();
const title = "graphs that others drew run to completion, and no task before what it depends on";

if (instances === undefined) {
  test.skip(`${title}: ../shared/data/wfinstances is absent`, () => undefined);
} else {
  test(title, async (t) => {
    t.timeout(60_000);
    t.is(instances.length, 9);
    const { url: databaseUrl } = await useDatabase(t, { durable: true });
    const { address } = await startServer(t, { databaseUrl });
    const [wire, notes] = [Wire.open(t, address), await useJournal()];
    const client = await connect({ address });
    t.teardown(() => client.close());
    for (const name of ["one", "two"]) await startWorker(t, { address, notes, name, concurrency: 200 });
    for (const instance of instances) {
      await wire.workflows.unary("putWorkflow", { spec: specOf(instance) });
    }
    const handles = await Promise.all(instances.map(({ name }) => client.start(name, null)));
    await Promise.all(handles.map((handle) => handle.result({ timeout: "50s" })));

    const records = notes.read();
    for (const [index, instance] of instances.entries()) {
      const mine = records.filter(({ executionId }) => executionId === handles[index]!.id);
      t.is(mine.length, 2 * instance.tasks.length, `${instance.name}: each task starts and ends once`);
      t.deepEqual(outOfOrder(instance, mine), [], instance.name);
      const { taskCounts } = await wire.execution(handles[index]!.id);
      t.deepEqual({ ...taskCounts }, { COMPLETED: instance.tasks.length }, instance.name);
    }
    t.is(new Set(records.map(({ worker }) => worker)).size, 2, "both workers took part");
  });
}

function specOf({ name, tasks }: WfInstance) {
  return {
    name,
    tasks: tasks.map(({ id, parents, runtimeSeconds }) => {
      const input = JSON.stringify({ ms: Math.round(runtimeSeconds * MS_PER_SECOND) });
      const literal = { data: Buffer.from(input), encoding: "json" };
      return {
        ...{ id, handler: "step", dependsOn: [...parents], retry: RETRIES },
        input: { source: { case: "literal", value: literal } },
      } as const;
    }),
  };
}

/** Tasks that did not start once, after the end of each of their parents. */
function outOfOrder({ tasks }: WfInstance, records: readonly StepRecord[]): string[] {
  const starts = new Map<string, number>();
  const ends = new Map<string, number>();
  for (const [at, { event, task }] of records.entries()) {
    const places = event === "start" ? starts : ends;
    if (places.has(task)) return [`${task} has two ${event}s`];
    places.set(task, at);
  }
  return tasks.flatMap(({ id, parents }) => {
    const startedAt = starts.get(id) ?? -1;
    return parents
      .filter((parent) => (ends.get(parent) ?? Infinity) > startedAt)
      .map((parent) => `${id} before ${parent}`);
  });
}
