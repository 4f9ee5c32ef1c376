import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import { failure, success } from "../support/scripted-worker.js";
import { brokenInvariants, rowsOf, useEngine, useReplicas, type TestEngine } from "../support/test-engine.js";
import { until } from "../support/until.js";

async function attemptsOf(replica: TestEngine, executionId: string): Promise<unknown[]> {
  const { task, attempts } = await replica.engine.executions.getTask("default", executionId, "a", -1);
  return [...attempts.map(({ failure: { reason } }) => reason), task.failure?.reason ?? task.status];
}

test("an attempt that takes too long is ended, its worker told, and the task tried again", async (t) => {
  const replica = await useEngine(t, [
    { id: "a", timeouts: { attemptMs: 200 }, retry: { maxAttempts: 2, initialIntervalMs: 1, jitter: 0 } },
  ]);
  const worker = await replica.worker({ credit: 2 });
  const started = await replica.start();
  const first = await worker.next();
  t.true(first.deadlineAtMs! > Date.now() - 60_000);
  t.like(await worker.cancelOf(first), { reason: "ATTEMPT_TIMEOUT", outcomeWanted: false });
  const second = await worker.next();
  t.is(second.attempt.attempt, 2);
  t.like(await worker.succeed(first, "late"), { result: "STALE" });
  await worker.cancelOf(second);
  const end = await started.end();
  t.is(end.status, "FAILED");
  t.like(end.failure?.cause, { reason: "ATTEMPT_TIMEOUT" });
  t.deepEqual(await attemptsOf(replica, started.executionId), ["ATTEMPT_TIMEOUT", "ATTEMPT_TIMEOUT"]);
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("an attempt that stops beating is ended, and the next one gets the details of its last beat", async (t) => {
  const replica = await useEngine(t, [
    { id: "a", timeouts: { heartbeatMs: 400 }, retry: { initialIntervalMs: 1, jitter: 0 } },
  ]);
  const worker = await replica.worker({ credit: 2 });
  const started = await replica.start();
  const first = await worker.next();
  t.is(first.heartbeatTimeoutMs, 400);
  const details = jsonPayload({ row: 17 });
  const begunAt = performance.now();
  for (let n = 0; n < 8; n++) {
    worker.session.beat([{ attempt: first.attempt, details, progress: { done: n, total: 8, message: "" } }]);
    await sleep(75);
  }
  t.deepEqual(await attemptsOf(replica, started.executionId), ["RUNNING"]);
  t.like(await worker.cancelOf(first), { reason: "HEARTBEAT_TIMEOUT" });
  t.true(performance.now() - begunAt > 900);
  const second = await worker.next();
  t.deepEqual(parseJson(second.heartbeatDetails!), { row: 17 });
  await worker.succeed(second);
  t.is((await started.end()).status, "COMPLETED");
  t.deepEqual(await attemptsOf(replica, started.executionId), ["HEARTBEAT_TIMEOUT", "COMPLETED"]);
});

test("the details of the last beat also survive a failure and a worker that is gone", async (t) => {
  const replica = await useEngine(t, [{ id: "a", retry: { initialIntervalMs: 1, jitter: 0 } }], {
    workers: { closedGraceMs: 100 },
  });
  const worker = await replica.worker({ credit: 2 });
  await replica.start();
  const first = await worker.received();
  worker.session.beat([{ attempt: first.attempt, details: jsonPayload(1), progress: undefined }]);
  await worker.report(first, failure());
  const second = await worker.received();
  t.is(parseJson(second.heartbeatDetails!), 1);
  worker.session.beat([{ attempt: second.attempt, details: jsonPayload(2), progress: undefined }]);
  worker.session.disconnected("closed");
  const third = await (await replica.worker()).next();
  t.is(parseJson(third.heartbeatDetails!), 2);
  t.is(third.attempt.attempt, 2);
});

test("a task that no worker takes times out in its queue", async (t) => {
  const replica = await useEngine(t, [{ id: "a", timeouts: { queueMs: 150 } }]);
  const started = await replica.start();
  const end = await started.end();
  t.like(end, { status: "FAILED", failure: { cause: { reason: "QUEUE_TIMEOUT" } } });
  const worker = await replica.worker({ credit: 5 });
  const taken = await replica.start();
  const held = await worker.next();
  t.is(held.attempt.executionId, taken.executionId);
  await sleep(300);
  t.like(await worker.succeed(held), { result: "COMMITTED" });
});

test("the total timeout counts over all tries, whether the task waits or runs", async (t) => {
  const replica = await useEngine(t, [
    {
      id: "a",
      timeouts: { totalMs: 500 },
      retry: { maxAttempts: 50, initialIntervalMs: 60, maxIntervalMs: 60 },
    },
  ]);
  const waiting = await replica.start();
  t.like(await waiting.end(), { failure: { cause: { reason: "TOTAL_TIMEOUT" } } });
  const worker = await replica.worker({ credit: 50 });
  const running = await replica.start();
  const held = await worker.next();
  t.like(await worker.cancelOf(held), { reason: "TOTAL_TIMEOUT" });
  t.like(await running.end(), { failure: { cause: { reason: "TOTAL_TIMEOUT" } } });
  worker.run(({ attempt }) => (attempt.executionId === running.executionId ? undefined : failure()));
  const retried = await replica.start();
  t.like(await retried.end(), { status: "FAILED", failure: { cause: { reason: "TOTAL_TIMEOUT" } } });
  const { task } = await replica.engine.executions.getTask("default", retried.executionId, "a", -1);
  t.is(task.status, "TIMED_OUT");
  t.true(task.attempt > 1 && task.attempt < 50);
});

test("the deadline of an execution ends all of it, the shorter of workflow and start", async (t) => {
  const replica = await useEngine(t, [
    { id: "a" },
    { id: "b", handler: "none" },
    { id: "c", dependsOn: ["a"] },
  ]);
  await replica.put([{ id: "a" }], { name: "short", deadlineMs: 200 });
  const worker = await replica.worker({ credit: 2 });
  const long = await replica.start({ deadlineMs: 250 });
  const short = await replica.start({ workflow: "short", deadlineMs: 60_000 });
  const held = await worker.take(2);
  for (const assignment of held) {
    t.like(await worker.cancelOf(assignment), { reason: "EXECUTION_TIMEOUT", outcomeWanted: false });
  }
  for (const { end, executionId } of [long, short]) {
    t.like(await end(), { status: "TIMED_OUT", failure: { reason: "EXECUTION_TIMEOUT" } });
    const view = await replica.engine.executions.get("default", executionId);
    t.deepEqual(view.taskCounts, { CANCELLED: view.workflow === "short" ? 1 : 3 });
  }
  t.like(await worker.succeed(held[0]!), { result: "STALE" });
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("a retry comes after its delay, as the policy or the handler says", async (t) => {
  const replica = await useEngine(t, [
    { id: "a", retry: { maxAttempts: 4, initialIntervalMs: 200, backoff: "FIXED", jitter: 0 } },
  ]);
  const worker = await replica.worker({ credit: 4 });
  const started = await replica.start();
  const delayBefore = async (report: () => Promise<unknown>): Promise<number> => {
    await report();
    const from = performance.now();
    await worker.next();
    return performance.now() - from;
  };
  const first = await worker.next();
  const delayMs = await delayBefore(() => worker.report(first, failure()));
  t.true(delayMs > 150 && delayMs < 1_000, `${delayMs} ms`);
  const second = worker.assignments.at(-1)!;
  const askedMs = await delayBefore(() => worker.report(second, failure({ retryAfterMs: 600 })));
  t.true(askedMs > 550 && askedMs < 1_500, `${askedMs} ms`);
  await worker.report(worker.assignments.at(-1)!, { kind: "cancelled", message: "I stop" });
  const last = await worker.next();
  t.is(last.attempt.attempt, 4);
  await worker.report(last, failure());
  t.is((await started.end()).status, "FAILED");
  const { attempts } = await replica.engine.executions.getTask("default", started.executionId, "a", -1);
  t.deepEqual(
    attempts.map(({ retryDelayMs }) => retryDelayMs),
    [200, 600, 200],
  );
});

test("a cancelled execution ends at once when nothing runs", async (t) => {
  const replica = await useEngine(t, [
    { id: "a", retry: { initialIntervalMs: 60_000 } },
    { id: "b", handler: "none" },
    { id: "c", dependsOn: ["a", "b"] },
  ]);
  const worker = await replica.worker();
  const started = await replica.start();
  await worker.report(await worker.next(), failure());
  const cancel = { reason: "not needed", graceMs: 60_000 };
  t.like(await replica.engine.executions.cancel("default", started.executionId, cancel), {
    accepted: true,
    status: "CANCELLED",
  });
  t.like(await started.end(), {
    status: "CANCELLED",
    failure: { reason: "EXECUTION_CANCELLED", message: "not needed" },
  });
  t.deepEqual(await replica.engine.executions.cancel("default", started.executionId, cancel), {
    accepted: false,
    status: "CANCELLED",
  });
  t.deepEqual(await brokenInvariants(replica.database), []);
  const unknown = replica.engine.executions.cancel("default", "018f0000-0000-7000-8000-000000000000", cancel);
  await t.throwsAsync(unknown, { message: /no execution/ });
});

test("what runs is told and has the grace: it may still succeed, stop, or is ended by force", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }]);
  const worker = await replica.worker({ credit: 9 });
  const cancel = async (graceMs: number) => {
    const started = await replica.start();
    const held = await worker.next();
    const answer = replica.engine.executions.cancel("default", started.executionId, { reason: "r", graceMs });
    t.true((await answer).accepted);
    return { started, held, notice: await worker.cancelOf(held) };
  };
  const stops = await cancel(60_000);
  t.like(stops.notice, { reason: "EXECUTION_CANCELLED", outcomeWanted: true });
  t.true(stops.notice.deadlineAtMs! > Date.now() + 30_000);
  t.like(await worker.report(stops.held, { kind: "cancelled", message: "" }), { result: "COMMITTED" });
  t.is((await stops.started.end()).status, "CANCELLED");

  const succeeds = await cancel(60_000);
  await worker.succeed(succeeds.held, "done");
  t.is((await succeeds.started.end()).status, "COMPLETED", "it had run to its end");

  const fails = await cancel(60_000);
  await worker.report(fails.held, failure());
  t.is((await fails.started.end()).status, "CANCELLED");

  const late = await cancel(200);
  t.is((await late.started.end()).status, "CANCELLED");
  t.like(await worker.succeed(late.held), { result: "STALE" });

  const shortened = await cancel(60_000);
  const again = { reason: "now", graceMs: 0 };
  t.like(await replica.engine.executions.cancel("default", shortened.started.executionId, again), {
    accepted: false,
    status: "CANCELLED",
  });
  const forced = await cancel(0);
  t.like(forced.notice, { outcomeWanted: false });
  t.is((await forced.started.end()).status, "CANCELLED");
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("a cancellation reaches workers of another replica, with notifications and without", async (t) => {
  for (const notifies of [true, false]) {
    const { database, open } = await useReplicas(t);
    const [here, there] = await Promise.all([open({ notifies }), open({ notifies })]);
    await here.put([{ id: "a" }, { id: "b", dependsOn: ["a"] }]);
    const worker = await there.worker();
    const started = await here.start();
    const held = await worker.next();
    const cancel = { reason: "r", graceMs: 60_000 };
    await here.engine.executions.cancel("default", started.executionId, cancel);
    t.like(await worker.cancelOf(held), { reason: "EXECUTION_CANCELLED", outcomeWanted: true });
    t.like(await worker.report(held, { kind: "cancelled", message: "" }), { result: "COMMITTED" });
    t.is((await started.end()).status, "CANCELLED");
    t.deepEqual(await brokenInvariants(database), []);
  }
});

test("a cancellation does not reach the execution with the same id in another namespace", async (t) => {
  const { open } = await useReplicas(t);
  const [here, there] = await Promise.all([open(), open()]);
  await here.put([{ id: "a" }]);
  await here.put([{ id: "a" }], {}, "other");
  const mine = await here.start();
  const theirs = await here.start({ executionId: mine.executionId }, "other");
  const myWorker = await there.worker();
  const theirWorker = await there.worker({ namespace: "other" });
  const held = await myWorker.next();
  const unharmed = await theirWorker.next();
  await here.engine.executions.cancel("default", mine.executionId, { reason: "r", graceMs: 60_000 });
  await myWorker.cancelOf(held);
  t.false(theirWorker.told.all.some(({ kind }) => kind === "cancel"));
  await theirWorker.succeed(unharmed);
  t.is((await theirs.end()).status, "COMPLETED");
});

test("a timer that another replica wrote is kept by any", async (t) => {
  const { database, open } = await useReplicas(t);
  const [first, second] = await Promise.all([open(), open()]);
  await first.put([{ id: "a", retry: { initialIntervalMs: 300, jitter: 0 } }]);
  const worker = await first.worker();
  const started = await first.start();
  await worker.report(await worker.next(), failure());
  await first.stop();
  await until(
    "the retry is due",
    async () =>
      (await rowsOf(database, "select from tasks where status = 'READY' and attempt = 2")).length > 0,
  );
  const next = await second.worker();
  next.run(() => success());
  const signal = new AbortController().signal;
  const view = await second.engine.executions.wait("default", started.executionId, {
    timeoutMs: 5_000,
    signal,
  });
  t.is(view?.status, "COMPLETED");
});
