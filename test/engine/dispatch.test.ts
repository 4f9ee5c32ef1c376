import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import type { Assignment } from "../../server/engine/api.js";
import type { LeaseStore } from "../../server/engine/lease-store.js";
import { success, type ScriptedWorker } from "../support/scripted-worker.js";
import { brokenInvariants, rowsOf, useEngine, useReplicas, type TestEngine } from "../support/test-engine.js";
import { until } from "../support/until.js";

function inputOf(assignment: Assignment): unknown {
  return parseJson(assignment.input);
}

/** Starts one after the other, so that their order of age is known. */
async function startInTurn(replica: TestEngine, inputs: readonly unknown[], priority = 0): Promise<void> {
  for (const input of inputs) await replica.start({ input: jsonPayload(input), priority });
}

/** Runs what comes, one at a time, until so many came; answers their inputs in order. */
async function runInOrder(worker: ScriptedWorker, count: number): Promise<unknown[]> {
  const inputs: unknown[] = [];
  for (let n = 0; n < count; n++) {
    const assignment = await worker.next();
    inputs.push(inputOf(assignment));
    await worker.succeed(assignment);
    worker.grant(1);
  }
  return inputs;
}

test("backlog goes out by priority, then by age, and new work waits behind it", async (t) => {
  const replica = await useEngine(t);
  await startInTurn(replica, ["old 1", "old 2"]);
  await startInTurn(replica, ["low"], -10);
  await startInTurn(replica, ["urgent"], 10);
  const worker = await replica.worker({ credit: 1 });
  const first = await worker.next();
  t.is(inputOf(first), "urgent");
  await startInTurn(replica, ["new"]);
  await worker.succeed(first);
  worker.grant(1);
  t.deepEqual(await runInOrder(worker, 4), ["old 1", "old 2", "new", "low"]);
  await startInTurn(replica, ["direct"]);
  t.is(inputOf(await worker.next()), "direct");
});

test("priority of a task and of its execution add up", async (t) => {
  const replica = await useEngine(t, [
    { id: "slow", handler: "a", priority: -5 },
    { id: "fast", handler: "a", priority: 5 },
  ]);
  await replica.start({ priority: 0 });
  await replica.start({ priority: 7 });
  const worker = await replica.worker({ credit: 1 });
  const order: string[] = [];
  for (let n = 0; n < 4; n++) {
    const assignment = await worker.next();
    const { task } = await replica.engine.executions.getTask(
      "default",
      assignment.attempt.executionId,
      assignment.attempt.taskId,
      -1,
    );
    order.push(`${task.taskId} ${task.priority}`);
    await worker.succeed(assignment);
    worker.grant(1);
  }
  t.deepEqual(order, ["fast 12", "fast 5", "slow 2", "slow -5"]);
});

test("credit is never exceeded, whatever comes at once", async (t) => {
  const replica = await useEngine(t);
  const workers = await Promise.all([1, 3, 7].map((credit) => replica.worker({ credit, slots: credit })));
  const starts = await Promise.all(Array.from({ length: 300 }, () => replica.start()));
  for (const worker of workers) worker.run(() => success());
  await Promise.all(starts.map(({ end }) => end(20_000)));
  for (const worker of workers) {
    t.is(worker.lowestCredit, 0);
    t.true(worker.assignments.length > 0, "every worker takes part");
  }
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("a worker without credit, or that serves something else, is given nothing", async (t) => {
  const replica = await useEngine(t, [{ id: "a", queue: "gpu" }]);
  const wrong = await Promise.all([
    replica.worker({ credit: 0, queues: ["gpu"] }),
    replica.worker({ credit: 5, handlers: ["b"], queues: ["gpu"] }),
    replica.worker({ credit: 5 }),
    replica.put([{ id: "a" }], {}, "other").then(() => replica.worker({ credit: 5, namespace: "other" })),
  ]);
  await replica.start();
  const right = await replica.worker({ credit: 1, queues: ["default", "gpu"] });
  t.is((await right.next()).queue, "gpu");
  for (const worker of wrong) t.deepEqual(worker.assignments, []);
});

test("backlog of one route reaches all its workers at once", async (t) => {
  const replica = await useEngine(t);
  const workers = await Promise.all([0, 0, 0].map((credit) => replica.worker({ credit, slots: 10 })));
  await Promise.all(Array.from({ length: 30 }, () => replica.start()));
  const claimed = performance.now();
  for (const worker of workers) worker.grant(10);
  await Promise.all(workers.map((worker) => worker.take(10, 900)));
  t.true(performance.now() - claimed < 900, "no worker waits for the next look at the backlog");
  const ids = workers.flatMap((worker) => worker.assignments.map(({ attempt }) => attempt.executionId));
  t.is(new Set(ids).size, 30);
});

test("new work does not overtake backlog that another worker's claim has left behind", async (t) => {
  const replica = await useEngine(t);
  const workers = await Promise.all([0, 0].map((credit) => replica.worker({ credit, slots: 2 })));
  await startInTurn(replica, [1, 2, 3, 4, 5, 6]);
  for (const worker of workers) worker.grant(2);
  for (const worker of workers) await worker.take(2);
  await startInTurn(replica, ["new"]);
  workers[0]!.grant(3);
  t.deepEqual((await workers[0]!.take(3)).map(inputOf), [5, 6, "new"]);
});

test("a worker with one slot serves all its handlers, whichever has backlog", async (t) => {
  const tasks = ["a", "b", "c"].map((id) => ({ id }));
  const replica = await useEngine(t, tasks);
  await replica.put([{ id: "c" }], { name: "only-c" });
  await replica.start({ workflow: "only-c" });
  const worker = await replica.worker({ handlers: ["a", "b", "c"], queues: ["other", "default"], credit: 1 });
  t.is((await worker.next(900)).handler, "c");
});

test("a worker with one slot takes turns between its routes, however much waits on one", async (t) => {
  const replica = await useEngine(t);
  for (const handler of ["b", "c"]) await replica.put([{ id: handler }], { name: handler });
  await Promise.all(Array.from({ length: 40 }, () => replica.start()));
  for (const workflow of ["b", "b", "c", "c"]) await replica.start({ workflow });
  const worker = await replica.worker({ handlers: ["a", "b", "c"], credit: 1 });
  worker.run(() => success());
  await until("all was handed out", () => worker.assignments.length === 44);
  const order = worker.assignments.slice(0, 6).map(({ handler }) => handler);
  t.deepEqual(order.toSorted(), ["a", "a", "b", "b", "c", "c"]);
});

test("priority counts between the routes of a worker, also for work that comes later", async (t) => {
  const replica = await useEngine(t);
  for (const handler of ["b", "c"]) await replica.put([{ id: handler }], { name: handler });
  await Promise.all(Array.from({ length: 30 }, () => replica.start()));
  await replica.start({ workflow: "b", priority: 100 });
  await replica.start({ workflow: "b", priority: 1 });
  await replica.start({ workflow: "c", priority: 50 });
  const worker = await replica.worker({ handlers: ["a", "b", "c"], credit: 1 });
  const order: string[] = [];
  for (let n = 0; n < 4; n++) {
    const assignment = await worker.next();
    order.push(assignment.handler);
    if (n === 3) {
      await replica.start({ workflow: "c", priority: 7 });
      await replica.start({ priority: 7 });
    }
    await worker.succeed(assignment);
    worker.grant(1);
  }
  t.deepEqual(order, ["b", "c", "b", "a"]);
  const next = [await worker.next(), (worker.grant(1), await worker.next())];
  t.deepEqual(next.map(({ handler }) => handler).toSorted(), ["a", "c"]);
  worker.run(() => success());
  await until("all was handed out", () => worker.assignments.length === 35);
});

test("credit for several tasks goes to the highest priority first, whichever route it is on", async (t) => {
  const replica = await useEngine(t);
  await replica.put([{ id: "b" }], { name: "b" });
  for (const priority of [9, 7, 5, 3]) {
    await replica.start({ priority });
    await replica.start({ workflow: "b", priority: priority - 1 });
  }
  const worker = await replica.worker({ handlers: ["a", "b"], credit: 5, slots: 8 });
  const first = await worker.take(5, 900);
  t.deepEqual(first.map(({ handler }) => handler).toSorted(), ["a", "a", "a", "b", "b"]);
  worker.grant(3);
  await worker.take(3, 900);
});

test("a suspect is handed out, whatever the priority of the tasks around it", async (t) => {
  const replica = await useEngine(t);
  await replica.put([{ id: "b" }], { name: "b" });
  const { executionId } = await replica.start({ workflow: "b", priority: -5 });
  await rowsOf(replica.database, "update tasks set crashes = 1");
  await replica.start({ workflow: "b", priority: 100 });
  await replica.start();
  const worker = await replica.worker({ handlers: ["a", "b"], credit: 1 });
  t.like(await worker.next(), { crashes: 1, attempt: { executionId } });
});

test("what an idle worker costs does not grow with its handlers", async (t) => {
  const asked: string[] = [];
  const wrapLeases = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) => {
        if (/claim|find/i.test(name)) asked.push(name);
        return target[name].bind(target) as unknown;
      },
    });
  const replica = await useEngine(t, [{ id: "a" }], { wrapLeases });
  const handlers = Array.from({ length: 200 }, (_, n) => `h${n}`);
  const queues = ["default", "other"];
  await replica.worker({ handlers, queues, credit: 1 });
  // Time is what is measured: the dispatcher looks once a second.
  await sleep(2_500);
  t.true(asked.length >= 3 && asked.length <= 10, `${asked.length} statements`);
});

test("two replicas never hand out the same task, and the work of one reaches the workers of the other", async (t) => {
  for (const notifies of [true, false]) {
    const { database, open } = await useReplicas(t);
    const replicas = await Promise.all([open({ notifies }), open({ notifies })]);
    await replicas[0].put([{ id: "a" }, { id: "b", dependsOn: ["a"] }]);
    const seen = new Map<string, number>();
    for (const [at, credit] of [5, 3].entries()) {
      const worker = await replicas[at]!.worker({ handlers: ["a", "b"], credit, slots: credit });
      worker.run(({ attempt }) => {
        const name = `${attempt.executionId}/${attempt.taskId}`;
        seen.set(name, (seen.get(name) ?? 0) + 1);
        return success();
      });
    }
    const starts = await Promise.all(Array.from({ length: 100 }, (_, n) => replicas[n % 2]!.start()));
    await Promise.all(starts.map(({ end }) => end(20_000)));
    t.is(seen.size, 200);
    t.true([...seen.values()].every((times) => times === 1));
    t.deepEqual(await brokenInvariants(database), []);
  }
});

test("work that only another replica's worker serves gets there", async (t) => {
  const { open } = await useReplicas(t);
  const [here, there] = await Promise.all([open(), open({ notifies: false })]);
  await here.put([{ id: "a" }]);
  const worker = await there.worker({ credit: 1 });
  // The look at the backlog that came with the worker is over when it is counted.
  await until(
    "the worker is known",
    async () => (await here.engine.workers.list("default", { pageSize: 10, pageToken: "" })).items.length > 0,
  );
  const started = await here.start();
  await worker.succeed(await worker.next());
  t.is((await started.end()).status, "COMPLETED");
});

test("large inputs are claimed in parts and all arrive", async (t) => {
  const replica = await useEngine(t);
  const input = { data: Buffer.alloc(1_500_000, 7), encoding: "raw" };
  const starts = await Promise.all(Array.from({ length: 12 }, () => replica.start({ input })));
  const worker = await replica.worker({ credit: 100, slots: 100 });
  worker.run(({ input: { data } }) => success(data.length));
  const ends = await Promise.all(starts.map(({ end }) => end()));
  t.true(ends.every(({ output }) => JSON.stringify(parseJson(output!)) === '{"a":1500000}'));
});

test("however many sessions ask, a claim has twice its bytes at most, and all inputs arrive", async (t) => {
  const claimed: number[] = [];
  const wrapLeases = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) => {
        if (name !== "claimTasks") return target[name].bind(target) as unknown;
        return async (...args: Parameters<LeaseStore["claimTasks"]>) => {
          const tasks = await target.claimTasks(...args);
          claimed.push(tasks.reduce((sum, { input }) => sum + input.data.length, 0));
          return tasks;
        };
      },
    });
  const replica = await useEngine(t, [{ id: "a" }], { wrapLeases });
  const input = { data: Buffer.alloc(1_900_000, 7), encoding: "raw" };
  const count = 40;
  const workers = await Promise.all(
    Array.from({ length: count }, (_, n) =>
      replica.worker({ handlers: ["a", `h${n}`], credit: 0, workerName: `w${n}` }),
    ),
  );
  for (let n = 0; n < count; n++) {
    await replica.put([{ id: "b", handler: `h${n}` }], { name: `w${n}` });
    await replica.start({ workflow: `w${n}`, input });
  }
  for (const worker of workers) worker.grant(1);
  const assignments = await Promise.all(workers.map((worker) => worker.next()));
  t.is(new Set(assignments.map(({ handler }) => handler)).size, count);
  t.true(Math.max(...claimed) <= 2 * 16 * 1024 * 1024, `${Math.max(...claimed)} bytes`);
});

test("a worker that drains is given nothing more, and what it gives back costs no try", async (t) => {
  const replica = await useEngine(t);
  const leaving = await replica.worker({ credit: 2, workerName: "leaving" });
  const started = await replica.start();
  const held = await leaving.next();
  leaving.session.drain();
  await until("the list says that it drains", async () => {
    const { items } = await replica.engine.workers.list("default", { pageSize: 10, pageToken: "" });
    return items[0]?.draining;
  });
  await replica.start();
  t.like(await leaving.report(held, { kind: "givenBack" }), { result: "COMMITTED" });
  t.like(await leaving.report(held, { kind: "givenBack" }), { result: "DUPLICATE" });
  t.is(leaving.assignments.length, 1);
  const next = await replica.worker({ credit: 2, workerName: "next" });
  const assignments = await next.take(2);
  const again = assignments.find(({ attempt }) => attempt.executionId === started.executionId)!;
  t.like(again.attempt, { attempt: 1, lease: 2 });
  for (const assignment of assignments) await next.succeed(assignment);
  t.is((await started.end()).status, "COMPLETED");
  t.deepEqual(await rowsOf(replica.database, "select * from attempts"), []);
});

test("a draining replica tells its workers, closes their streams and takes no new ones", async (t) => {
  const replica = await useEngine(t);
  const worker = await replica.worker({ credit: 1 });
  await replica.engine.workers.drain(1_000);
  t.deepEqual(
    worker.told.all.map(({ kind }) => kind),
    ["drain", "close"],
  );
  await t.throwsAsync(replica.worker(), { name: "HeadraceError", message: /stopping/ });
});
