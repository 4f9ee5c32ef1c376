import test from "ava";
import { HeadraceError, type Reason } from "../../server/core/errors.js";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import type { ExecutionEnd } from "../../server/engine/api.js";
import type { CommitStore } from "../../server/engine/commit-store.js";
import { uuidv7 } from "../../server/engine/ids.js";
import { failure, success } from "../support/scripted-worker.js";
import { brokenInvariants, rowsOf, startRequest, useEngine, useReplicas } from "../support/test-engine.js";

/** Counts the transactions of a store. */
function counted(counter: { transactions: number }): (store: CommitStore) => CommitStore {
  return (store) => ({
    transact: (...args) => {
      counter.transactions++;
      return store.transact(...args);
    },
  });
}

test("a start is handed to a worker, its report ends it, and who started it hears so", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }, { id: "b", dependsOn: ["a"] }]);
  const worker = await replica.worker({ handlers: ["a", "b"], credit: 5 });
  const started = await replica.start({ input: jsonPayload({ n: 1 }), labels: { team: "x" } });
  t.true(started.created);
  const a = await worker.next();
  t.like(a, { handler: "a", queue: "default", workflow: "w", maxAttempts: 3, crashes: 0 });
  t.like(a.attempt, { executionId: started.executionId, taskId: "a", attempt: 1, lease: 1, mapIndex: -1 });
  t.deepEqual(parseJson(a.input), { n: 1 });
  t.true(a.traceparent.startsWith(`00-${started.traceId}-`));
  t.like(await worker.succeed(a, { m: 2 }), { result: "COMMITTED" });
  const b = await worker.next();
  t.deepEqual(parseJson(b.input), { n: 1, m: 2 });
  t.like(await worker.succeed(b, { done: true }), { result: "COMMITTED" });
  const end = await started.end();
  t.is(end.status, "COMPLETED");
  t.deepEqual(parseJson(end.output!), { b: { done: true } });
  const view = await replica.engine.executions.get("default", started.executionId);
  t.like(view, { status: "COMPLETED", labels: { team: "x" }, taskCounts: { COMPLETED: 2 } });
  t.deepEqual(parseJson(view.output!), { b: { done: true } });
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("payload bytes arrive as they were sent, JSON or not", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }]);
  const worker = await replica.worker({ credit: 1 });
  const bytes = Buffer.from([0, 255, 10, 0, 92, 34, 195, 40]);
  const started = await replica.start({ input: { data: bytes, encoding: "binary/raw" } });
  const a = await worker.next();
  t.is(a.input.encoding, "binary/raw");
  t.deepEqual(Buffer.from(a.input.data), bytes);
  await worker.report(a, { kind: "success", output: jsonPayload("ü€𝄞\u0000") });
  t.deepEqual(parseJson((await started.end()).output!), { a: "ü€𝄞\u0000" });
});

test("a failure that may not be repeated fails the execution, with the task's failure as its cause", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }, { id: "b", dependsOn: ["a"] }]);
  const worker = await replica.worker();
  const started = await replica.start();
  await worker.report(await worker.next(), failure({ message: "no", nonRetryable: true }));
  const end = await started.end();
  t.like(end, {
    status: "FAILED",
    failure: { reason: "TASK_FAILED", taskId: "a", cause: { message: "no" } },
  });
  const { task } = await replica.engine.executions.getTask("default", started.executionId, "b", -1);
  t.is(task.status, "SKIPPED");
});

test("a start that is sent again is answered as the first was, by id and by key", async (t) => {
  const { engine } = await useEngine(t);
  const executionId = uuidv7();
  for (const repeated of [{ executionId }, { idempotencyKey: "key 1" }]) {
    const request = startRequest({ ...repeated, input: jsonPayload([1]) });
    const first = await engine.executions.start("default", request);
    t.true(first.created);
    t.deepEqual(await engine.executions.start("default", request), { ...first, created: false });
    const other = engine.executions.start("default", { ...request, input: jsonPayload([2]) });
    const error = await t.throwsAsync(other, { instanceOf: HeadraceError });
    t.is(error.reason, "IDEMPOTENCY_CONFLICT");
    t.regex(error.message, /another input/);
  }
});

test("equal starts at the same time are one execution, in one tick and on two replicas", async (t) => {
  const { database, open } = await useReplicas(t);
  const replicas = await Promise.all([open({ lanes: 3 }), open({ lanes: 3 })]);
  await replicas[0].put([{ id: "a" }]);
  for (const repeated of [() => ({ executionId: uuidv7() }), () => ({ idempotencyKey: uuidv7() })]) {
    for (let round = 0; round < 5; round++) {
      const request = startRequest(repeated());
      const starts = [0, 1, 0, 1, 0, 1].map((at) =>
        replicas[at]!.engine.executions.start("default", request),
      );
      const answers = await Promise.all(starts);
      t.is(new Set(answers.map((answer) => answer.executionId)).size, 1);
      t.is(answers.filter((answer) => answer.created).length, 1);
    }
  }
  const [count] = await rowsOf<{ executions: number; tasks: number }>(
    database,
    "select (select count(*) from executions) as executions, (select count(*) from tasks) as tasks",
  );
  t.deepEqual(count, { executions: 10, tasks: 10 });
});

test("of different starts with one key at the same time one wins and the others are refused", async (t) => {
  const { open } = await useReplicas(t);
  const replicas = await Promise.all([open(), open()]);
  await replicas[0].put([{ id: "a" }]);
  const starts = [0, 1, 0, 1].map((at, n) =>
    replicas[at]!.engine.executions.start(
      "default",
      startRequest({ idempotencyKey: "k", input: jsonPayload(n) }),
    ),
  );
  const results = await Promise.allSettled(starts);
  t.is(results.filter((result) => result.status === "fulfilled").length, 1);
  for (const result of results) {
    if (result.status === "rejected") t.like(result.reason, { reason: "IDEMPOTENCY_CONFLICT" });
  }
});

test("one id in two namespaces is two executions that know nothing of each other", async (t) => {
  const replica = await useEngine(t);
  await replica.put([{ id: "a" }], {}, "other");
  const executionId = uuidv7();
  const mine = await replica.start({ executionId, idempotencyKey: "k", input: jsonPayload("mine") });
  let leaked: ExecutionEnd | undefined;
  const theirs = await replica.start(
    { executionId, idempotencyKey: "k", input: jsonPayload("theirs"), onEnd: (end) => (leaked = end) },
    "other",
  );
  t.true(mine.created && theirs.created);
  const signal = new AbortController().signal;
  const waiting = replica.engine.executions.wait("other", executionId, { timeoutMs: 300, signal });
  const worker = await replica.worker();
  const a = await worker.next();
  t.is(parseJson(a.input), "mine");
  await worker.succeed(a, "secret");
  t.is((await mine.end()).status, "COMPLETED");
  t.is(await waiting, undefined);
  t.is(leaked, undefined);
  t.is((await replica.engine.executions.get("other", executionId)).status, "RUNNING");
  t.is((await replica.worker({ namespace: "other" })).assignments.length, 0);
});

test("a thousand starts in one tick are a few transactions, and so are their reports", async (t) => {
  const counter = { transactions: 0 };
  const replica = await useEngine(t, [{ id: "a" }], { wrapCommits: counted(counter) });
  const worker = await replica.worker({ credit: 1_000, slots: 1_000 });
  // The plan is compiled by the first.
  const first = await replica.start();
  await worker.succeed(await worker.next());
  await first.end();
  counter.transactions = 0;
  const starts = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) => replica.start({ input: jsonPayload(n) })),
  );
  t.true(counter.transactions <= 10, `${counter.transactions} transactions for 1,000 starts`);
  counter.transactions = 0;
  worker.run((assignment) => success(parseJson(assignment.input)));
  const ends = await Promise.all(starts.map(({ end }) => end()));
  t.true(counter.transactions <= 50, `${counter.transactions} transactions for 1,000 reports`);
  t.deepEqual(
    ends.map(({ output }) => parseJson(output!)),
    starts.map((_, n) => ({ a: n })),
  );
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("a wide graph is written as it opens, and every task runs once", async (t) => {
  const leaves = Array.from({ length: 500 }, (_, n) => ({
    id: `leaf-${n}`,
    handler: "leaf",
    dependsOn: ["root"],
  }));
  const replica = await useEngine(t, [
    { id: "root" },
    ...leaves,
    {
      id: "last",
      dependsOn: leaves.map(({ id }) => id),
      input: { kind: "expression", expression: "execution.id" },
    },
  ]);
  const runs = new Map<string, number>();
  const handlers = ["root", "leaf", "last"];
  const start = await replica.start();
  const written = async (): Promise<number | undefined> =>
    (await rowsOf<{ rows: number }>(replica.database, "select count(*) as rows from tasks"))[0]?.rows;
  t.is(await written(), 1);
  for (let n = 0; n < 2; n++) {
    (await replica.worker({ handlers, credit: 20, slots: 20, workerName: `w${n}` })).run(({ attempt }) => {
      runs.set(attempt.taskId, (runs.get(attempt.taskId) ?? 0) + 1);
      return success();
    });
  }
  t.is((await start.end(20_000)).status, "COMPLETED");
  t.is(runs.size, 502);
  t.true([...runs.values()].every((count) => count === 1));
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("states need not be cached: without memory for them everything is read again", async (t) => {
  const tasks = [{ id: "a" }, { id: "b", dependsOn: ["a"] }, { id: "c", dependsOn: ["a", "b"] }];
  const replica = await useEngine(t, tasks, { stateCacheBytes: 0 });
  const worker = await replica.worker({ handlers: ["a", "b", "c"], credit: 3 });
  worker.run(({ attempt }) => success({ [attempt.taskId]: 1 }));
  const end = await (await replica.start()).end();
  t.deepEqual(parseJson(end.output!), { c: { c: 1 } });
});

test("what is wrong with a start is refused before anything is written", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }], {});
  await replica.put([{ id: "a" }], { name: "typed", inputSchema: '{"type":"object","required":["n"]}' });
  const refused = async (request: Parameters<typeof startRequest>[0], reason: Reason): Promise<void> => {
    const error = await t.throwsAsync(replica.start(request), { instanceOf: HeadraceError });
    t.is(error.reason, reason);
  };
  await refused({ workflow: "none" }, "WORKFLOW_NOT_FOUND");
  await refused({ version: "abcdef" }, "VERSION_NOT_FOUND");
  await refused({ executionId: "1" }, "INVALID_FIELD");
  await refused({ workflow: "typed" }, "INVALID_INPUT");
  await refused({ labels: { "bad\u0000": "x" } }, "INVALID_FIELD");
  const none = replica.engine.executions.start("nowhere", startRequest());
  t.is((await t.throwsAsync(none, { instanceOf: HeadraceError })).reason, "NAMESPACE_NOT_FOUND");
  t.deepEqual(await rowsOf(replica.database, "select * from executions"), []);
});
