import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { HeadraceError } from "../../server/core/errors.js";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import { checkHello, checkPoll } from "../../server/engine/check-worker.js";
import { uuidv7 } from "../../server/engine/ids.js";
import type { LeaseStore } from "../../server/engine/lease-store.js";
import { DEFAULT_WORKER_SETTINGS } from "../../server/engine/worker-settings.js";
import { failure, scriptedWorker, success } from "../support/scripted-worker.js";
import { brokenInvariants, rowsOf, useEngine, useReplicas } from "../support/test-engine.js";
import { until } from "../support/until.js";

const FAST = { deliveryTimeoutMs: 300, closedGraceMs: 300, beatTimeoutMs: 600, beatIntervalMs: 200 };

test("a delivery that is not acknowledged goes to another worker: same attempt, higher lease, no try lost", async (t) => {
  const replica = await useEngine(t, [{ id: "a", retry: { maxAttempts: 1 } }], {
    workers: { ...FAST, beatTimeoutMs: 10_000 },
  });
  const deaf = await replica.worker({ acknowledges: false });
  const started = await replica.start();
  const lost = await deaf.next();
  const error = await deaf.closed();
  t.true(error instanceof HeadraceError && error.reason === "DELIVERY_NOT_ACKNOWLEDGED");
  t.true(
    deaf.told.all.some(({ kind }) => kind === "ping"),
    "it is asked before it is given up",
  );
  const worker = await replica.worker({ workerName: "hears" });
  const again = await worker.next();
  t.like(again.attempt, { executionId: lost.attempt.executionId, attempt: 1, lease: 3 });
  t.is(again.crashes, 0);
  t.like(await worker.succeed(again), { result: "COMMITTED" });
  t.is((await started.end()).status, "COMPLETED");
});

test("what was delivered before stays with the worker when a later delivery is lost", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }], { workers: { ...FAST, beatTimeoutMs: 10_000 } });
  const worker = await replica.worker({ credit: 2 });
  await replica.start();
  const heard = await worker.received();
  worker.acknowledges = false;
  const second = await replica.start();
  await worker.next();
  await worker.closed();
  const resumed = await worker
    .successor({ credit: 0, resume: { sessionId: worker.session.sessionId, held: [heard.attempt] } })
    .connect(replica.engine);
  t.like(resumed.welcome, { resumed: true, stale: [] });
  t.like(await resumed.succeed(heard), { result: "COMMITTED" });
  const other = await replica.worker({ workerName: "other", credit: 2 });
  t.like((await other.next()).attempt, { executionId: second.executionId, attempt: 1 });
});

test("a report is counted once: repeated it is a duplicate, from elsewhere or of an old lease it is stale", async (t) => {
  const replica = await useEngine(t, [{ id: "a", retry: { initialIntervalMs: 1, jitter: 0 } }]);
  const worker = await replica.worker({ credit: 3 });
  const other = await replica.worker({ credit: 0, workerName: "other" });
  const started = await replica.start();
  const first = await worker.next();
  t.like(await other.succeed(first, "stolen"), { result: "STALE", reason: "FOREIGN_SESSION" });
  const invented = { attempt: { ...first.attempt, lease: 9 } };
  t.like(await worker.succeed(invented), { result: "STALE", reason: "NOT_HANDED_OUT" });
  t.like(await worker.succeed({ attempt: { ...first.attempt, taskId: "zzz" } }), { reason: "UNKNOWN_TASK" });
  t.like(await worker.succeed({ attempt: { ...first.attempt, executionId: uuidv7() } }), {
    reason: "UNKNOWN_TASK",
  });
  t.like(await worker.report(first, failure()), { result: "COMMITTED" });
  t.like(await worker.report(first, failure()), { result: "DUPLICATE" });
  const second = await worker.next();
  t.like(second.attempt, { attempt: 2, lease: 2 });
  t.like(await worker.succeed(first, "late"), { result: "STALE", reason: "SUPERSEDED" });
  t.like(await worker.succeed(second, "right"), { result: "COMMITTED" });
  t.like(await worker.succeed(second, "other"), { result: "DUPLICATE" });
  t.deepEqual(parseJson((await started.end()).output!), { a: "right" });
  const { task, attempts } = await replica.engine.executions.getTask("default", started.executionId, "a", -1);
  t.like(task, { attempt: 2, lease: 2, worker: "w" });
  t.like(attempts[0], { attempt: 1, lease: 1, worker: "w", failure: { message: "boom" } });
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("equal reports in one batch are one report", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }, { id: "b", dependsOn: ["a"] }]);
  const worker = await replica.worker({ handlers: ["a", "b"], credit: 5 });
  await replica.start();
  const { attempt } = await worker.next();
  worker.session.report([
    { attempt, outcome: success(1) },
    { attempt, outcome: success(2) },
    { attempt, outcome: failure() },
  ]);
  const b = await worker.next();
  t.deepEqual(parseJson(b.input), { a: 1 });
  const results = worker.told.all.flatMap((event) => (event.kind === "ack" ? [event.ack.result] : []));
  t.deepEqual(results, ["COMMITTED", "DUPLICATE", "DUPLICATE"]);
});

test("a worker whose stream broke resumes with all that it holds, on the same replica or another", async (t) => {
  const { database, open } = await useReplicas(t);
  const replicas = await Promise.all([open(), open()]);
  await replicas[0].put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const starts = await Promise.all([1, 2, 3].map(() => replicas[0].start()));
  let worker = await replicas[0].worker({ credit: 3, slots: 3 });
  const held = await worker.take(3);
  for (const at of [0, 1, 1, 0]) {
    worker.session.disconnected("closed");
    const next = worker.successor({ credit: 0 });
    for (const assignment of worker.held.values()) next.assign([assignment]);
    worker = await next.connect(replicas[at]!.engine);
    t.like(worker.welcome, { resumed: true, stale: [], sessionId: next.hello.resume!.sessionId });
    t.is(worker.welcome.replicaId, replicas[at]!.engine.replicaId);
  }
  for (const assignment of held) t.like(await worker.succeed(assignment), { result: "COMMITTED" });
  await Promise.all(starts.map(({ end }) => end()));
  t.deepEqual(await rowsOf(database, "select attempt, lease, crashes from tasks group by 1, 2, 3"), [
    { attempt: 1, lease: 1, crashes: 0 },
  ]);
  t.deepEqual(await rowsOf(database, "select count(*) as sessions from sessions"), [{ sessions: 1 }]);
});

test("on resumption the worker hears what it holds in vain, and what it never got goes to others", async (t) => {
  const replica = await useEngine(t);
  const worker = await replica.worker({ credit: 2, slots: 2, acknowledges: false });
  await replica.start();
  await replica.start();
  const [kept, lost] = await worker.take(2);
  const invented = { ...kept!.attempt, executionId: uuidv7() };
  const old = { ...lost!.attempt, lease: 0 };
  worker.session.disconnected("closed");
  const resumed = await worker
    .successor({
      credit: 0,
      resume: { sessionId: worker.session.sessionId, held: [kept!.attempt, invented, old] },
    })
    .connect(replica.engine);
  t.true(resumed.welcome.resumed);
  t.deepEqual(resumed.welcome.stale, [
    { attempt: invented, reason: "SUPERSEDED" },
    { attempt: old, reason: "SUPERSEDED" },
  ]);
  t.like(await resumed.succeed(kept!), { result: "COMMITTED" });
  const other = await replica.worker({ workerName: "other" });
  t.like((await other.next()).attempt, { executionId: lost!.attempt.executionId, attempt: 1, lease: 3 });
  const unknown = await scriptedWorker({
    resume: { sessionId: uuidv7(), held: [kept!.attempt] },
    workerName: "late",
  }).connect(replica.engine);
  t.like(unknown.welcome, { resumed: false, stale: [{ attempt: kept!.attempt, reason: "SESSION_LOST" }] });
});

test("a second stream of a session takes the place of the first, also when three come at once", async (t) => {
  const replica = await useEngine(t);
  const worker = await replica.worker({ credit: 1 });
  const resumed = await worker.successor({ credit: 1 }).connect(replica.engine);
  t.like(await worker.closed(), { reason: "SESSION_REPLACED" });
  const rivals = await Promise.all(
    [1, 2, 3].map(() => resumed.successor({ credit: 1 }).connect(replica.engine)),
  );
  await resumed.closed();
  const open = rivals.filter((rival) => !rival.told.all.some(({ kind }) => kind === "close"));
  t.is(open.length, 1, "one stream is left");
  await Promise.all(Array.from({ length: 3 }, () => replica.start()));
  await open[0]!.next();
  open[0]!.grant(2);
  await open[0]!.take(2);
  t.is(
    rivals.reduce((sum, rival) => sum + rival.assignments.length, 0),
    3,
  );
});

test("a worker that is gone keeps its tasks for the grace and no longer", async (t) => {
  const replica = await useEngine(t, [{ id: "a", retry: { maxAttempts: 1 } }], { workers: FAST });
  const gone = await replica.worker({ workerName: "gone" });
  const started = await replica.start();
  const first = await gone.received();
  const brokeAt = performance.now();
  const next = await replica.worker({ workerName: "next" });
  gone.session.disconnected("closed");
  const second = await next.next();
  t.true(performance.now() - brokeAt >= 290, "not before the grace is over");
  t.like(second, { crashes: 1, attempt: { executionId: first.attempt.executionId, attempt: 1 } });
  t.true(second.attempt.lease > first.attempt.lease);
  const late = await gone.successor().connect(replica.engine);
  t.like(late.welcome, { resumed: false, stale: [{ attempt: first.attempt, reason: "SESSION_LOST" }] });
  t.like(await late.succeed(first, "late"), { result: "STALE", reason: "SUPERSEDED" });
  await next.succeed(second, "right");
  t.deepEqual(parseJson((await started.end()).output!), { a: "right" });
});

test("a worker that says nothing is given up after the beat timeout, one that beats is not", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }], { workers: { ...FAST, beatTimeoutMs: 400 } });
  const silent = await replica.worker({ workerName: "silent" });
  await replica.start();
  await silent.next();
  const beating = await replica.worker({ workerName: "beating", credit: 2 });
  await replica.start();
  const kept = await beating.next();
  const beats = setInterval(() => beating.session.received(1), 50);
  t.teardown(() => clearInterval(beats));
  t.like(await silent.closed(), { reason: "PROTOCOL_VIOLATION" });
  t.like(await beating.next(), { crashes: 1 });
  t.false(beating.told.all.some(({ kind }) => kind === "close"));
  t.like(await beating.succeed(kept), { result: "COMMITTED" });
});

test("a resumption at the moment in which the grace ends keeps the session or opens another, never half of it", async (t) => {
  const database = await useReplicas(t);
  let closing = Promise.resolve();
  let ask = (): void => undefined;
  const asked = new Promise<void>((resolve) => (ask = resolve));
  const slow = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) =>
        name === "closeSession"
          ? async (...args: Parameters<LeaseStore["closeSession"]>) => {
              ask();
              await closing;
              return target.closeSession(...args);
            }
          : (target[name].bind(target) as unknown),
    });
  const replica = await database.open({ workers: FAST, wrapLeases: slow });
  await replica.put([{ id: "a" }]);
  const worker = await replica.worker({ credit: 2 });
  await replica.start();
  const held = await worker.received();
  let release = (): void => undefined;
  closing = new Promise((resolve) => (release = resolve));
  worker.session.disconnected("closed");
  await asked;
  // The keeper is closing the session, and the worker comes back before the database has heard of it.
  const connecting = worker.successor({ credit: 2 }).connect(replica.engine);
  await Promise.race([connecting, sleep(100)]);
  release();
  const resumed = await connecting;
  const ack = await resumed.succeed(held);
  t.is(ack.result === "COMMITTED", resumed.welcome.resumed, "the welcome says the truth");
  const started = await replica.start();
  resumed.run(() => success());
  await started.end();
  await until("all work is done", async () => (await brokenInvariants(database.database)).length === 0);
  const [row] = await rowsOf<{ closed: boolean }>(
    database.database,
    "select closed_at is not null as closed from sessions where session_id = $1",
    [resumed.session.sessionId],
  );
  t.false(row?.closed, "the session in use is open");
});

test("a poison task is quarantined after its own limit and takes no innocent task with it", async (t) => {
  const replica = await useEngine(t, [{ id: "a", retry: { maxAttempts: 1, maxCrashes: 3 } }], {
    workers: FAST,
  });
  const starts = await Promise.all(
    Array.from({ length: 21 }, (_, n) => replica.start({ input: jsonPayload(n === 7 ? "poison" : "fine") })),
  );
  let crashed = 0;
  // All 21 are with the first worker when the poison kills it; then workers are started anew.
  const crash = async (): Promise<void> => {
    const worker = await replica.worker({ credit: 21, slots: 21, workerName: `w${crashed}` });
    if (crashed === 0) await worker.take(21);
    let dead = false;
    worker.run(({ input }) => {
      if (dead) return undefined;
      if (parseJson(input) !== "poison") return crashed === 0 ? undefined : success();
      dead = true;
      crashed++;
      worker.session.disconnected("closed");
      void crash();
      return undefined;
    });
  };
  await crash();
  const ends = await Promise.all(starts.map(({ end }) => end(20_000)));
  ends.forEach((end, n) => {
    if (n !== 7) t.is(end.status, "COMPLETED");
    else t.like(end, { status: "FAILED", failure: { cause: { reason: "WORKER_LOST" } } });
  });
  t.is(crashed, 3);
  const rows = await rowsOf(
    replica.database,
    "select status, attempt, crashes, count(*) as tasks from tasks group by 1, 2, 3 order by 1, 3",
  );
  t.deepEqual(rows, [
    { status: "COMPLETED", attempt: 1, crashes: 1, tasks: 20 },
    { status: "FAILED", attempt: 1, crashes: 3, tasks: 1 },
  ]);
});

test("a suspect is found by a worker that serves several handlers", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }, { id: "c" }], { workers: FAST });
  const gone = await replica.worker({ handlers: ["c"] });
  await replica.start();
  await gone.received();
  gone.session.disconnected("closed");
  await until(
    "it is a suspect",
    async () =>
      (
        await rowsOf<{ found: boolean }>(
          replica.database,
          "select from tasks where status = 'READY' and crashes = 1",
        )
      ).length > 0,
  );
  const worker = await replica.worker({ handlers: ["a", "b", "c"], credit: 2 });
  const both = await worker.take(2, 900);
  t.deepEqual(both.map(({ handler }) => handler).sort(), ["a", "c"]);
});

test("a suspect does not wait for the end of the backlog", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }], { workers: FAST });
  const gone = await replica.worker();
  const suspect = await replica.start();
  await gone.received();
  for (let n = 0; n < 40; n++) await replica.start();
  gone.session.disconnected("closed");
  await until(
    "it is a suspect",
    async () =>
      (await rowsOf(replica.database, "select from tasks where status = 'READY' and crashes = 1")).length > 0,
  );
  const worker = await replica.worker({ credit: 1 });
  worker.run(() => success());
  await suspect.end();
  const [left] = await rowsOf<{ ready: number }>(
    replica.database,
    "select count(*) as ready from tasks where status = 'READY'",
  );
  t.true(left!.ready > 20, `${left!.ready} tasks of the backlog wait`);
});

test("a worker may hold more credit than the limit only as long as it is wrong about the limit", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }], { workers: { creditMax: 10 } });
  const worker = await replica.worker({ credit: 10 });
  worker.grant(1);
  t.like(await worker.closed(), { reason: "INVALID_FIELD" });
});

const IDENTITY = { namespace: "default", workerName: "w", sdkName: "", sdkVersion: "" };
const SERVED = { handlers: ["h"], queues: ["q"] };

/** The fields that a check refuses. */
function refusedFields(check: () => void): readonly string[] {
  try {
    check();
    return [];
  } catch (error) {
    if (!(error instanceof HeadraceError) || error.reason !== "INVALID_FIELD") throw error;
    return (error.facts.violations ?? []).map(({ field }) => field);
  }
}

test("everything that is wrong with a Hello or a poll is told at once, in the names of its message", (t) => {
  const long = "x".repeat(201);
  const bad = { workerName: "", sdkName: long, sdkVersion: "\0", handlers: ["h", long, "h"], queues: [] };
  const served = ["worker_name", "sdk_name", "sdk_version", "handlers[1]", "handlers[2]", "queues"];
  const hello = { ...IDENTITY, ...SERVED, buildId: "", features: [], labels: {}, resume: undefined };
  const credits = { credit: 10_001, slots: -1 };
  const wrong = { ...hello, ...bad, ...credits, buildId: long, features: Array<string>(101).fill("f") };
  t.deepEqual(
    refusedFields(() => checkHello({ ...hello, credit: 10_000, slots: 1 }, DEFAULT_LIMITS)),
    [],
  );
  t.deepEqual(
    refusedFields(() => checkHello({ ...wrong, labels: { "": "x" } }, DEFAULT_LIMITS)),
    [...served, "build_id", "features", "credit", "slots", 'labels[""]'].map((field) => `hello.${field}`),
  );
  const open = { sessionId: "", sessionTimeoutMs: undefined, held: undefined };
  const poll = { ...IDENTITY, ...SERVED, ...open, maxTasks: 1, waitMs: 0 };
  const late = { ...poll, ...bad, maxTasks: 1_001, waitMs: 60_001, sessionTimeoutMs: 1 };
  t.deepEqual(
    refusedFields(() => checkPoll(poll, DEFAULT_LIMITS, DEFAULT_WORKER_SETTINGS)),
    [],
  );
  t.deepEqual(
    refusedFields(() => checkPoll(late, DEFAULT_LIMITS, DEFAULT_WORKER_SETTINGS)),
    [...served, "max_tasks", "wait", "session_timeout"],
  );
  const million = Array<string>(1_000_000).fill("h");
  t.deepEqual(
    refusedFields(() => checkHello({ ...hello, credit: 0, slots: 1, handlers: million }, DEFAULT_LIMITS)),
    ["hello.handlers"],
  );
});
