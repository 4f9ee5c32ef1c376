import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { HeadraceError } from "../../server/core/errors.js";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import type { AttemptRef, PollRequest, ReportAck } from "../../server/engine/api.js";
import type { LeaseStore } from "../../server/engine/lease-store.js";
import { success } from "../support/scripted-worker.js";
import {
  brokenInvariants,
  rowsOf,
  startRequest,
  useEngine,
  useReplicas,
  type TestEngine,
} from "../support/test-engine.js";
import { until } from "../support/until.js";

type Polled = Awaited<ReturnType<TestEngine["engine"]["workers"]["poll"]>>;

const NEVER = new AbortController().signal;

/** A worker that cannot hold a stream. Each call may go to another replica. */
class PollingWorker {
  sessionId = "";
  readonly #request: Partial<PollRequest>;

  constructor(request: Partial<PollRequest> = {}) {
    this.#request = request;
  }

  async poll({ engine }: TestEngine, more: Partial<PollRequest> = {}, signal = NEVER): Promise<Polled> {
    const { sessionId } = this;
    const polled = await engine.workers.poll({ ...POLL, ...this.#request, sessionId, ...more }, signal);
    this.sessionId = polled.sessionId;
    return polled;
  }

  async report({ engine }: TestEngine, attempt: AttemptRef): Promise<ReportAck | undefined> {
    const reports = [{ attempt, outcome: success("polled") }];
    const request = { namespace: "default", sessionId: this.sessionId, reports, beats: [] };
    return (await engine.workers.report(request)).acks[0];
  }

  async beat({ engine }: TestEngine, attempt: AttemptRef): Promise<void> {
    const beats = [{ attempt, progress: undefined, details: undefined }];
    await engine.workers.report({ namespace: "default", sessionId: this.sessionId, reports: [], beats });
  }
}

/** Holds the calls of a function until it is opened. */
function gate<Call extends (...args: never[]) => Promise<unknown>>(): {
  guard: (call: Call) => Call;
  reached: Promise<void>;
  passed: Promise<void>;
  open: () => void;
} {
  const [reached, opened, passed] = [new Latch(), new Latch(), new Latch()];
  const guard = (call: Call): Call =>
    (async (...args: never[]) => {
      reached.open();
      await opened.promise;
      const answer = await call(...args);
      // What awaits the answer goes first.
      setImmediate(() => passed.open());
      return answer;
    }) as Call;
  return { guard, reached: reached.promise, passed: passed.promise, open: () => opened.open() };
}

function holdClaims(
  store: LeaseStore,
  claims: ReturnType<typeof gate<LeaseStore["claimTasks"]>>,
): LeaseStore {
  return new Proxy(store, {
    get: (target, name: keyof LeaseStore) =>
      name === "claimTasks"
        ? claims.guard(target.claimTasks.bind(target))
        : (target[name].bind(target) as unknown),
  });
}

class Latch {
  open: () => void = () => undefined;
  readonly promise = new Promise<void>((resolve) => (this.open = resolve));
}

const POLL: PollRequest = {
  namespace: "default",
  workerName: "poller",
  sessionId: "",
  handlers: ["a"],
  queues: ["default"],
  maxTasks: 1,
  waitMs: 0,
  sessionTimeoutMs: undefined,
  held: undefined,
  sdkName: "test",
  sdkVersion: "1",
};

test("a poll waits for its first task, and the report of it ends the execution", async (t) => {
  const replica = await useEngine(t);
  const worker = new PollingWorker();
  const none = await worker.poll(replica);
  t.deepEqual(none.assignments, []);
  const waiting = worker.poll(replica, { waitMs: 5_000 });
  const started = await replica.start({ input: jsonPayload(1) });
  const { assignments, sessionId } = await waiting;
  t.is(sessionId, none.sessionId);
  t.is(assignments.length, 1);
  t.is(parseJson(assignments[0]!.input), 1);
  t.like(await worker.report(replica, assignments[0]!.attempt), { result: "COMMITTED" });
  t.like(await worker.report(replica, assignments[0]!.attempt), { result: "DUPLICATE" });
  t.deepEqual(parseJson((await started.end()).output!), { a: "polled" });
});

test("a poll gets at most what it asks for, and between polls the worker is given nothing", async (t) => {
  const replica = await useEngine(t);
  const worker = new PollingWorker();
  await worker.poll(replica);
  for (let n = 0; n < 5; n++) await replica.start();
  t.deepEqual(await rowsOf(replica.database, "select status, count(*) as tasks from tasks group by 1"), [
    { status: "READY", tasks: 5 },
  ]);
  const first = await worker.poll(replica, { maxTasks: 2, waitMs: 2_000 });
  t.is(first.assignments.length, 2);
  const second = await worker.poll(replica, { maxTasks: 10, waitMs: 2_000 });
  t.is(second.assignments.length, 3);
  t.is((await worker.poll(replica, { maxTasks: 0 })).assignments.length, 0);
});

test("what is on its way for an earlier poll counts against the next one", async (t) => {
  const claims = gate<LeaseStore["claimTasks"]>();
  const tasks = ["a1", "a2"].map((id) => ({ id, handler: "a" }));
  const replica = await useEngine(t, tasks, {
    wrapLeases: (store) => holdClaims(store, claims),
  });
  const { executionId } = await replica.start();
  const worker = new PollingWorker();
  await worker.poll(replica);
  const caller = new AbortController();
  const givenUp = worker.poll(replica, { waitMs: 5_000 }, caller.signal);
  await claims.reached;
  caller.abort();
  t.deepEqual((await givenUp).assignments, []);
  await replica.engine.executions.cancel("default", executionId, { reason: "r", graceMs: 0 });
  const waiting = worker.poll(replica, { waitMs: 5_000 });
  claims.open();
  await claims.passed;
  await replica.start();
  t.is((await waiting).assignments.length, 1);
  t.deepEqual(
    await rowsOf(replica.database, "select status from tasks where status <> 'CANCELLED' order by 1"),
    [{ status: "READY" }, { status: "RUNNING" }],
  );
});

test("a task of a polling worker may take longer than a delivery to a stream", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }], { workers: { deliveryTimeoutMs: 150 } });
  const worker = new PollingWorker();
  const started = await replica.start();
  const { assignments } = await worker.poll(replica, { waitMs: 5_000 });
  await sleep(700);
  t.like(await worker.report(replica, assignments[0]!.attempt), { result: "COMMITTED" });
  t.is((await started.end()).status, "COMPLETED");
});

test("a poll that waits longer than the session lasts is no silence", async (t) => {
  const replica = await useEngine(t);
  const worker = new PollingWorker({ sessionTimeoutMs: 1_000 });
  await worker.poll(replica);
  const waiting = worker.poll(replica, { waitMs: 10_000 });
  await sleep(1_600);
  const started = await replica.start();
  const { assignments } = await waiting;
  t.is(assignments[0]?.attempt.executionId, started.executionId);
  t.like(await worker.report(replica, assignments[0]!.attempt), { result: "COMMITTED" });
});

test("a polling worker that does not come back loses its tasks and its session", async (t) => {
  const replica = await useEngine(t);
  const gone = new PollingWorker({ sessionTimeoutMs: 1_000 });
  const started = await replica.start();
  const { assignments } = await gone.poll(replica, { waitMs: 5_000 });
  await gone.poll(replica, { maxTasks: 0 });
  const next = await replica.worker();
  t.like(await next.next(), { crashes: 1, attempt: { executionId: started.executionId, attempt: 1 } });
  for (const call of [gone.poll(replica), gone.report(replica, assignments[0]!.attempt)]) {
    const error = await t.throwsAsync(call, { instanceOf: HeadraceError });
    t.is(error.reason, "SESSION_NOT_FOUND");
  }
});

test("a task that no call took away is not counted as crashed", async (t) => {
  const replica = await useEngine(t);
  const gone = new PollingWorker({ sessionTimeoutMs: 1_000 });
  await gone.poll(replica);
  const caller = new AbortController();
  const waiting = gone.poll(replica, { waitMs: 10_000 }, caller.signal);
  // Time for the look at the backlog, so that the task is handed over directly.
  await sleep(200);
  // The caller goes away while the task is on its way to it.
  await replica.engine.executions.start("default", startRequest()).then(() => caller.abort());
  t.deepEqual((await waiting).assignments, []);
  t.like(await (await replica.worker()).next(), { crashes: 0, attempt: { attempt: 1 } });
});

test("what arrives when the caller has gone is there for its next call", async (t) => {
  const replica = await useEngine(t);
  const worker = new PollingWorker();
  await worker.poll(replica);
  await replica.start();
  const gone = AbortSignal.abort();
  t.deepEqual((await worker.poll(replica, { waitMs: 5_000 }, gone)).assignments, []);
  const again = await worker.poll(replica, { waitMs: 5_000 });
  t.is(again.assignments.length, 1);
});

test("what no call took away goes back, though the next call is on another replica and names nothing", async (t) => {
  const { open } = await useReplicas(t);
  const claims = gate<LeaseStore["claimTasks"]>();
  const workers = { deliveryTimeoutMs: 300 };
  const first = await open({ workers, wrapLeases: (store) => holdClaims(store, claims) });
  const second = await open({ workers });
  await first.put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const worker = new PollingWorker();
  await second.start();
  const held = (await worker.poll(second, { waitMs: 5_000 })).assignments[0]!;
  const started = await first.start();
  const caller = new AbortController();
  const givenUp = worker.poll(first, { waitMs: 5_000 }, caller.signal);
  await claims.reached;
  caller.abort();
  t.deepEqual((await givenUp).assignments, []);
  claims.open();
  await claims.passed;
  const { assignments } = await worker.poll(second, { waitMs: 10_000 });
  const { executionId } = started;
  t.like(assignments, [{ crashes: 0, attempt: { executionId, attempt: 1, lease: 3 } }]);
  t.like(await worker.report(second, assignments[0]!.attempt), { result: "COMMITTED" });
  t.like(await worker.report(first, held.attempt), { result: "COMMITTED" });
});

test("an answer that is lost on its way is noticed with the next call, and costs no try", async (t) => {
  const { open } = await useReplicas(t);
  const replicas = await Promise.all([open(), open()]);
  await replicas[0].put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const worker = new PollingWorker();
  await worker.poll(replicas[0]);
  await replicas[0].start();
  const kept = (await worker.poll(replicas[0], { waitMs: 5_000, held: [] })).assignments[0]!;
  for (const replica of replicas) {
    const started = await replica.start();
    const lost = (await worker.poll(replica, { waitMs: 5_000, held: [kept.attempt] })).assignments[0]!;
    t.is(lost.attempt.executionId, started.executionId);
    // The other replica only knows from the database what the session was handed.
    const other = replicas.find((each) => each !== replica)!;
    const again = await worker.poll(other, { waitMs: 5_000, held: [kept.attempt] });
    t.like(again.assignments, [{ crashes: 0, attempt: { ...lost.attempt, lease: 3 } }]);
    t.like(await worker.report(other, lost.attempt), { result: "STALE" });
    t.like(await worker.report(other, again.assignments[0]!.attempt), { result: "COMMITTED" });
  }
  t.like(await worker.report(replicas[0], kept.attempt), { result: "COMMITTED" });
});

test("what waits for the next call is not lost, and what is over must be dropped", async (t) => {
  const replica = await useEngine(t);
  const worker = new PollingWorker();
  await worker.poll(replica);
  for (let n = 0; n < 2; n++) await replica.start();
  t.deepEqual(
    (await worker.poll(replica, { maxTasks: 2, waitMs: 5_000 }, AbortSignal.abort())).assignments,
    [],
  );
  const polled = await worker.poll(replica, { maxTasks: 2, waitMs: 5_000, held: [] });
  const held = polled.assignments.map(({ attempt }) => attempt);
  t.deepEqual(
    held.map(({ lease }) => lease),
    [1, 1],
  );
  await worker.report(replica, held[0]!);
  const { cancels } = await worker.poll(replica, { maxTasks: 0, held });
  t.deepEqual(cancels, [
    { attempt: held[0], reason: "LEASE_LOST", outcomeWanted: false, deadlineAtMs: undefined },
  ]);
  t.like(await worker.report(replica, held[1]!), { result: "COMMITTED" });
});

test("a cancellation is told with the next call", async (t) => {
  const replica = await useEngine(t);
  const worker = new PollingWorker();
  const started = await replica.start();
  const { assignments } = await worker.poll(replica, { waitMs: 5_000 });
  const cancel = { reason: "r", graceMs: 60_000 };
  await replica.engine.executions.cancel("default", started.executionId, cancel);
  const { cancels } = await worker.poll(replica, { maxTasks: 0 });
  t.like(cancels[0], { attempt: assignments[0]!.attempt, reason: "EXECUTION_CANCELLED" });
});

test("a session follows its worker from replica to replica, call by call, and keeps its tasks", async (t) => {
  const { database, open } = await useReplicas(t);
  const settings = { workers: { deliveryTimeoutMs: 200 } };
  const replicas = await Promise.all([open(settings), open(settings)]);
  await replicas[0].put([{ id: "a", timeouts: { heartbeatMs: 900 }, retry: { maxAttempts: 1 } }]);
  const worker = new PollingWorker({ sessionTimeoutMs: 1_500 });
  const long = await replicas[0].start();
  const held = (await worker.poll(replicas[0], { waitMs: 5_000 })).assignments[0]!;
  // Longer than the session, the heartbeat timeout at one replica and the audit of leases last.
  const endsAt = performance.now() + 6_500;
  for (let n = 0; performance.now() < endsAt; n++) {
    const replica = replicas[n % 2]!;
    await worker.beat(replica, held.attempt);
    const started = await replica.start();
    const { assignments } = await worker.poll(replicas[(n + 1) % 2]!, { waitMs: 5_000 });
    t.is(assignments[0]?.attempt.executionId, started.executionId);
    t.like(await worker.report(replica, assignments[0]!.attempt), { result: "COMMITTED" });
    await sleep(150);
  }
  // From here on it calls one replica only, and the other must not end its session.
  for (let n = 0; n < 12; n++) {
    await worker.beat(replicas[0], held.attempt);
    await sleep(200);
  }
  t.like(await worker.report(replicas[1], held.attempt), { result: "COMMITTED" });
  t.is((await long.end()).status, "COMPLETED");
  t.deepEqual(await rowsOf(database, "select count(*) as sessions from sessions"), [{ sessions: 1 }]);
  t.deepEqual(await rowsOf(database, "select from tasks where lease > 1 or crashes > 0"), []);
  await until("all ends are committed", async () => (await brokenInvariants(database)).length === 0);
});

test("a session lasts as long as it was opened for, on whichever replica the last call was", async (t) => {
  const { open } = await useReplicas(t);
  const [first, second] = [await open(), await open()];
  await first.put([{ id: "a" }]);
  const worker = new PollingWorker({ sessionTimeoutMs: 1_000 });
  const started = await first.start();
  const { assignments } = await worker.poll(first, { waitMs: 5_000 });
  await worker.beat(second, assignments[0]!.attempt);
  const next = await second.worker();
  t.like(await next.next(), { crashes: 1, attempt: { executionId: started.executionId } });
});

test("a stream session is not a polling session, and no namespace may use another's", async (t) => {
  const replica = await useEngine(t);
  await replica.put([{ id: "a" }], {}, "other");
  const stream = await replica.worker();
  const worker = new PollingWorker();
  await worker.poll(replica);
  const resume = { sessionId: worker.sessionId, held: [] };
  t.false((await replica.worker({ resume })).welcome.resumed);
  for (const call of [
    worker.poll(replica, { sessionId: stream.session.sessionId }),
    new PollingWorker({ namespace: "other" }).poll(replica, { sessionId: worker.sessionId }),
  ]) {
    t.is((await t.throwsAsync(call, { instanceOf: HeadraceError })).reason, "SESSION_NOT_FOUND");
  }
});

test("what a poll may ask for is limited", async (t) => {
  const replica = await useEngine(t);
  const wrong = new PollingWorker({ handlers: [], maxTasks: -1, waitMs: 90_000, sessionTimeoutMs: 1 });
  const error = await t.throwsAsync(wrong.poll(replica), { instanceOf: HeadraceError });
  t.deepEqual(error.facts.violations?.map(({ field }) => field).sort(), [
    "handlers",
    "max_tasks",
    "session_timeout",
    "wait",
  ]);
});
