import test from "ava";
import { HeadraceError } from "../../server/core/errors.js";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import type { ExecutionQuery, TaskQuery, WatchUpdate } from "../../server/engine/api.js";
import { uuidv7 } from "../../server/engine/ids.js";
import { failure, success } from "../support/scripted-worker.js";
import { useEngine, useReplicas, type TestEngine } from "../support/test-engine.js";
import { until } from "../support/until.js";

const NEVER = new AbortController().signal;
const DIAMOND = [
  { id: "a" },
  { id: "b", dependsOn: ["a"], priority: 3, retry: { maxAttempts: 2 } },
  { id: "c", dependsOn: ["a"], handler: "other", queue: "gpu" },
  { id: "d", dependsOn: ["b", "c"] },
];
const LIST: ExecutionQuery = {
  workflow: "",
  version: "",
  statuses: [],
  labels: {},
  createdAfterMs: undefined,
  createdBeforeMs: undefined,
  pageSize: 10,
  pageToken: "",
};

async function reasonOf(replica: TestEngine, executionId: string, taskId: string): Promise<unknown> {
  const { reasons } = await replica.engine.executions.explain("default", executionId, taskId);
  return reasons.map(({ reason }) => reason).join();
}

test("tasks that have not begun are shown from the plan", async (t) => {
  const replica = await useEngine(t, DIAMOND);
  const { executionId } = await replica.start({ priority: 7 });
  const { executions } = replica.engine;
  const query: TaskQuery = { executionId, statuses: [], pageSize: 3, pageToken: "" };
  const first = await executions.listTasks("default", query);
  const second = await executions.listTasks("default", { ...query, pageToken: first.nextPageToken });
  t.is(second.nextPageToken, "");
  const tasks = [...first.items, ...second.items];
  t.deepEqual(
    tasks.map(({ taskId, status }) => `${taskId} ${status}`),
    ["a READY", "b PENDING", "c PENDING", "d PENDING"],
  );
  t.like(tasks[2], { handler: "other", queue: "gpu", attempt: 0, maxAttempts: 3, lease: 0, worker: "" });
  const { task: pending, attempts } = await executions.getTask("default", executionId, "b", -1);
  t.like(pending, { status: "PENDING", maxAttempts: 2, priority: 3 + 7, input: undefined });
  t.deepEqual(attempts, []);
  const ready = await executions.listTasks("default", { ...query, statuses: ["READY"] });
  t.deepEqual(
    ready.items.map(({ taskId }) => taskId),
    ["a"],
  );
  t.like(await executions.get("default", executionId), {
    taskCounts: { READY: 1, PENDING: 3 },
    priority: 7,
  });
  for (const [taskId, mapIndex] of [
    ["zzz", -1],
    ["a", 0],
  ] as const) {
    const missing = executions.getTask("default", executionId, taskId, mapIndex);
    t.is((await t.throwsAsync(missing, { instanceOf: HeadraceError })).reason, "TASK_NOT_FOUND");
  }
});

test("a task shows its input, output, worker and times as they become known", async (t) => {
  const replica = await useEngine(t, DIAMOND);
  const worker = await replica.worker({
    handlers: ["a", "b", "other", "d"],
    queues: ["default", "gpu"],
    credit: 9,
  });
  const { executionId, end } = await replica.start({ input: jsonPayload({ n: 1 }) });
  const view = async (taskId: string) =>
    (await replica.engine.executions.getTask("default", executionId, taskId, -1)).task;
  const a = await worker.next();
  const running = await view("a");
  t.like(running, {
    status: "RUNNING",
    worker: "w",
    sessionId: worker.session.sessionId,
    attempt: 1,
    lease: 1,
  });
  t.deepEqual(parseJson(running.input!), { n: 1 });
  t.true(running.readyAtMs! <= running.startedAtMs! && running.finishedAtMs === undefined);
  await worker.succeed(a, { x: 2 });
  worker.run(() => success({ y: 3 }));
  await end();
  const done = await view("a");
  t.like(done, { status: "COMPLETED" });
  t.deepEqual(parseJson(done.output!), { x: 2 });
  t.true(done.startedAtMs! <= done.finishedAtMs!);
  t.deepEqual(parseJson((await view("d")).input!), { n: 1, y: 3 });
});

test("why a task is not running is said for each kind of waiting", async (t) => {
  const replica = await useEngine(t, [...DIAMOND, { id: "e", retry: { initialIntervalMs: 60_000 } }]);
  const { executionId } = await replica.start();
  t.is(await reasonOf(replica, executionId, "a"), "NO_WORKER");
  const { status, reasons } = await replica.engine.executions.explain("default", executionId, "");
  t.is(status, "RUNNING");
  t.deepEqual(
    reasons.map(({ taskId, reason }) => `${taskId} ${reason}`),
    ["a NO_WORKER", "b DEPENDENCIES", "c DEPENDENCIES", "d DEPENDENCIES", "e NO_WORKER"],
  );
  t.deepEqual(reasons[3]?.waitsFor, ["b", "c"]);
  const busy = await replica.worker({ credit: 0, slots: 0 });
  t.is(await reasonOf(replica, executionId, "a"), "NO_FREE_SLOT");
  busy.grant(1);
  const a = await busy.next();
  t.is(await reasonOf(replica, executionId, "a"), "RUNNING");
  const other = await replica.worker({ handlers: ["e"] });
  await other.report(await other.next(), failure());
  const [delayed] = (await replica.engine.executions.explain("default", executionId, "e")).reasons;
  t.like(delayed, { reason: "RETRY_DELAY" });
  t.true(delayed!.untilMs! > Date.now());
  await replica.engine.executions.cancel("default", executionId, { reason: "r", graceMs: 60_000 });
  t.is(await reasonOf(replica, executionId, "a"), "CANCEL_GRACE");
  await busy.succeed(a);
  t.is(await reasonOf(replica, executionId, "a"), "COMPLETED");
  t.is(await reasonOf(replica, executionId, ""), "", "nothing is open");
  const unknown = replica.engine.executions.explain("default", executionId, "zzz");
  t.is((await t.throwsAsync(unknown, { instanceOf: HeadraceError })).reason, "TASK_NOT_FOUND");
});

test("executions are listed by page, and a token belongs to its list", async (t) => {
  const replica = await useEngine(t);
  const started: string[] = [];
  for (let n = 0; n < 5; n++) {
    started.unshift((await replica.start({ labels: { odd: String(n % 2 === 1) } })).executionId);
  }
  const { executions } = replica.engine;
  const ids: string[] = [];
  let token = "";
  do {
    const page = await executions.list("default", { ...LIST, pageSize: 2, pageToken: token });
    ids.push(...page.items.map(({ executionId }) => executionId));
    token = page.nextPageToken;
  } while (token !== "");
  t.deepEqual(ids, started);
  const odd = await executions.list("default", { ...LIST, labels: { odd: "true" }, statuses: ["RUNNING"] });
  t.deepEqual(
    odd.items.map(({ executionId }) => executionId),
    [started[1], started[3]],
  );
  const { version } = odd.items[0]!;
  for (const prefix of [version, version.slice(0, 6)]) {
    t.is((await executions.list("default", { ...LIST, version: prefix })).items.length, 5);
  }
  const { nextPageToken } = await executions.list("default", { ...LIST, version, pageSize: 1 });
  const more = { ...LIST, version, pageToken: nextPageToken };
  t.is((await executions.list("default", more)).items.length, 4);
  for (const wrong of ["2a775", "zzzzzz"]) {
    const refused = executions.list("default", { ...LIST, version: wrong });
    t.like(await t.throwsAsync(refused, { instanceOf: HeadraceError }), {
      reason: "INVALID_FIELD",
      facts: { field: "filter.version", actual: wrong },
    });
  }
  const foreign = executions.list("default", { ...LIST, workflow: "w", pageToken: nextPageToken });
  t.is((await t.throwsAsync(foreign, { instanceOf: HeadraceError })).reason, "INVALID_FIELD");
  await replica.put([{ id: "a" }], {}, "other");
  t.deepEqual((await executions.list("other", LIST)).items, []);
  const hidden = executions.get("other", started[0]!);
  t.is((await t.throwsAsync(hidden, { instanceOf: HeadraceError })).reason, "EXECUTION_NOT_FOUND");
});

test("who waits is answered at the end, when the time is over, or when it gives up", async (t) => {
  const replica = await useEngine(t);
  const { executions } = replica.engine;
  const { executionId } = await replica.start();
  const wait = (timeoutMs: number, signal = NEVER) =>
    executions.wait("default", executionId, { timeoutMs, signal });
  t.is(await wait(50), undefined);
  t.is(await wait(60_000, AbortSignal.timeout(50)), undefined);
  const waiting = [wait(10_000), wait(10_000), wait(10_000)];
  (await replica.worker()).run(() => success(7));
  for (const view of await Promise.all(waiting)) {
    t.is(view?.status, "COMPLETED");
    t.deepEqual(parseJson(view!.output!), { a: 7 });
  }
  t.is((await wait(0))?.status, "COMPLETED");
  const missing = executions.wait("default", uuidv7(), { timeoutMs: 1_000, signal: NEVER });
  t.is((await t.throwsAsync(missing, { instanceOf: HeadraceError })).reason, "EXECUTION_NOT_FOUND");
});

/** Collects updates until the watch ends. */
async function collect(updates: AsyncIterable<WatchUpdate>, into: WatchUpdate[]): Promise<void> {
  for await (const update of updates) into.push(update);
}

test("a watch tells each change until the end, wherever it is committed", async (t) => {
  const { open } = await useReplicas(t);
  const [here, there] = await Promise.all([open(), open()]);
  await here.put([{ id: "a" }, { id: "b", dependsOn: ["a"] }]);
  const { executionId } = await here.start();
  const seen: WatchUpdate[] = [];
  const watch = { afterRevision: 0, signal: NEVER };
  const watching = collect(here.engine.executions.watch("default", executionId, watch), seen);
  await until("the state now is told", () => seen.length > 0);
  t.like(seen[0], { execution: { status: "RUNNING" } });
  t.deepEqual(
    seen[0]!.tasks.map(({ taskId, status }) => `${taskId} ${status}`),
    ["a READY"],
  );
  const worker = await there.worker({ handlers: ["a", "b"] });
  const a = await worker.next();
  const statuses = (taskId: string): string[] =>
    seen.flatMap(({ tasks }) => tasks.filter((task) => task.taskId === taskId).map(({ status }) => status));
  await until("it is told that a worker took it", () => statuses("a").includes("RUNNING"));
  await worker.succeed(a);
  worker.grant(1);
  await worker.succeed(await worker.next());
  await watching;
  t.deepEqual(statuses("a"), ["READY", "RUNNING", "COMPLETED"]);
  t.is(statuses("b").at(-1), "COMPLETED");
  t.is(seen.at(-1)!.execution.status, "COMPLETED");
  const revisions = seen.map(({ execution }) => execution.revision);
  t.deepEqual(
    revisions,
    [...revisions].sort((x, y) => x - y),
  );
  const again: WatchUpdate[] = [];
  await collect(there.engine.executions.watch("default", executionId, watch), again);
  t.is(again.length, 1, "what has ended is told once");
});

test("a watch that is given up ends, and nobody is watched any more", async (t) => {
  const replica = await useEngine(t);
  const { executionId } = await replica.start();
  const stop = new AbortController();
  const seen: WatchUpdate[] = [];
  const watch = { afterRevision: 0, signal: stop.signal };
  const watching = collect(replica.engine.executions.watch("default", executionId, watch), seen);
  await until("the state now is told", () => seen.length > 0);
  stop.abort();
  await watching;
  t.is(seen.length, 1);
});
