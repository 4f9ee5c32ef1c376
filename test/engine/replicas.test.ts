import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import type { LeaseStore } from "../../server/engine/lease-store.js";
import { success } from "../support/scripted-worker.js";
import { LeaseOutage } from "../support/lease-outage.js";
import { brokenInvariants, rowsOf, useReplicas } from "../support/test-engine.js";
import { until } from "../support/until.js";

const LEASE_MS = 900;

/** A replica that cannot renew its lease while `frozen` is set, as if its process hung. */
class Freezer {
  frozen = false;

  readonly wrapLeases = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) => {
        const stops = this.frozen && (name === "renewReplica" || name === "closeDeadSessions");
        return stops ? () => Promise.reject(new Error("frozen")) : (target[name].bind(target) as unknown);
      },
    });
}

test("a replica that stops renewing loses its sessions, and not before its lease is over", async (t) => {
  const { database, open } = await useReplicas(t);
  const freezer = new Freezer();
  const frozen = await open({ replicaLeaseMs: LEASE_MS, wrapLeases: freezer.wrapLeases });
  const other = await open({ replicaLeaseMs: LEASE_MS });
  await frozen.put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const worker = await frozen.worker({ credit: 1 });
  const started = await frozen.start();
  const first = await worker.received();
  const rescuer = await other.worker({ workerName: "rescuer", credit: 1 });
  freezer.frozen = true;
  const [{ renewed_at: renewedAt } = { renewed_at: 0 }] = await rowsOf<{ renewed_at: number }>(
    database,
    "select extract(epoch from renewed_at)::float8 * 1000 as renewed_at from replicas where replica_id = $1",
    [frozen.engine.replicaId],
  );
  const second = await rescuer.next();
  const [{ started_at: takenAt } = { started_at: 0 }] = await rowsOf<{ started_at: number }>(
    database,
    "select extract(epoch from started_at)::float8 * 1000 as started_at from tasks",
  );
  t.true(takenAt - renewedAt >= LEASE_MS, `${takenAt - renewedAt} ms after the last renewal`);
  t.like(second, { crashes: 0, attempt: { attempt: 1, lease: 3 } });
  t.false(frozen.engine.isReady(), "it knows that it is not to be trusted");
  t.like(await worker.succeed(first, "late"), { result: "STALE" });

  freezer.frozen = false;
  t.like(await worker.closed(), { reason: "DRAINING" });
  await until("it is back", () => frozen.engine.isReady());
  const back = await worker.successor({ credit: 2 }).connect(frozen.engine);
  t.like(back.welcome, { resumed: false });
  await rescuer.succeed(second, "right");
  t.deepEqual(parseJson((await started.end()).output!), { a: "right" });
  back.run(() => success("again"));
  t.is((await (await frozen.start()).end()).status, "COMPLETED");
  t.deepEqual(await brokenInvariants(database), []);
  const [{ replicas } = { replicas: 0 }] = await rowsOf<{ replicas: number }>(
    database,
    "select count(*) as replicas from replicas",
  );
  t.is(replicas, 2);
});

test("workers of a replica that died resume elsewhere within its lease, and nothing runs twice", async (t) => {
  const { database, open } = await useReplicas(t);
  const dying = await open({ replicaLeaseMs: 3_000 });
  const other = await open({ replicaLeaseMs: 3_000 });
  await dying.put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const starts = await Promise.all([1, 2, 3, 4].map((n) => other.start({ input: jsonPayload(n) })));
  const worker = await dying.worker({ credit: 4, slots: 4 });
  const held = await worker.take(4);
  await dying.stop();
  const resumed = await worker.successor({ credit: 0 }).connect(other.engine);
  t.like(resumed.welcome, { resumed: true, stale: [] });
  for (const assignment of held) t.like(await resumed.succeed(assignment), { result: "COMMITTED" });
  await Promise.all(starts.map(({ end }) => end()));
  t.deepEqual(
    await rowsOf(database, "select from tasks where lease <> 1 or attempt <> 1 or crashes <> 0"),
    [],
  );
});

test("what a process left that died between closing a session and taking its tasks back is found", async (t) => {
  const { database, open } = await useReplicas(t);
  const replica = await open({ replicaLeaseMs: LEASE_MS });
  await replica.put([{ id: "a" }]);
  const worker = await replica.worker();
  const started = await replica.start();
  await worker.next();
  await rowsOf(database, "update sessions set closed_at = clock_timestamp()");
  const next = await replica.worker({ workerName: "next" });
  const again = await next.next();
  t.like(again.attempt, { executionId: started.executionId, attempt: 1, lease: 3 });
  await next.succeed(again);
  t.is((await started.end()).status, "COMPLETED");
});

test("a session that nobody serves, since its resumption failed halfway, loses its tasks", async (t) => {
  let fails = false;
  const wrapLeases = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) =>
        fails && name === "readHeldTasks"
          ? () => Promise.reject(new Error("connection lost"))
          : (target[name].bind(target) as unknown),
    });
  const { database, open } = await useReplicas(t);
  const replica = await open({ replicaLeaseMs: LEASE_MS, wrapLeases });
  await replica.put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const worker = await replica.worker();
  const started = await replica.start();
  await worker.received();
  fails = true;
  await t.throwsAsync(worker.successor({ credit: 0 }).connect(replica.engine));
  fails = false;
  const next = await replica.worker({ workerName: "next" });
  const again = await next.next();
  t.like(again, { crashes: 0, attempt: { executionId: started.executionId, attempt: 1, lease: 3 } });
  await next.succeed(again);
  t.is((await started.end()).status, "COMPLETED");
  t.like(
    await rowsOf(database, "select worker_name from sessions where closed_at is null"),
    [{ worker_name: "next" }],
    "a session that is served stays open, however old it is",
  );
});

test("a session whose replica has no row loses its tasks", async (t) => {
  const { database, open } = await useReplicas(t);
  const replica = await open({ replicaLeaseMs: LEASE_MS });
  const other = await open({ replicaLeaseMs: 60_000 });
  await other.put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const worker = await other.worker();
  const started = await other.start();
  await worker.received();
  await rowsOf(database, "delete from replicas where replica_id = $1", [other.engine.replicaId]);
  const next = await replica.worker({ workerName: "next" });
  const again = await next.next();
  t.like(again, { crashes: 0, attempt: { executionId: started.executionId, attempt: 1, lease: 3 } });
});

for (const hangs of [true, false]) {
  const how = hangs ? "and answers everything late" : "and refused everything";
  test(`a database that was away for longer than the lease, ${how}, costs no sessions`, async (t) => {
    const { database, open } = await useReplicas(t);
    const outage = new LeaseOutage(hangs);
    const settings = { replicaLeaseMs: LEASE_MS, wrapLeases: outage.wrapLeases };
    const replicas = await Promise.all([open(settings), open(settings)]);
    await replicas[0].put([{ id: "a", retry: { maxAttempts: 1 } }]);
    const workers = await Promise.all(replicas.map((replica, n) => replica.worker({ workerName: `w${n}` })));
    await Promise.all(replicas.map((replica) => replica.start()));
    const held = await Promise.all(workers.map((worker) => worker.received()));
    // They are there for long enough to judge each other.
    await sleep(2 * LEASE_MS);
    outage.begin();
    await until("no replica is alive", () => replicas.every(({ engine }) => !engine.isReady()));
    await sleep(LEASE_MS);
    outage.end();
    await until("both are alive", () => replicas.every(({ engine }) => engine.isReady()));
    await sleep(2 * LEASE_MS);
    t.deepEqual(await rowsOf(database, "select worker_name from sessions where closed_at is not null"), []);
    for (const [n, worker] of workers.entries())
      t.like(await worker.succeed(held[n]!), { result: "COMMITTED" });
  });
}

test("a replica that was away for long does not close the sessions of others at once", async (t) => {
  const { database, open } = await useReplicas(t);
  const first = await open({ replicaLeaseMs: 1_500 });
  await first.put([{ id: "a" }]);
  const worker = await first.worker();
  await first.start();
  const held = await worker.next();
  await first.stop();
  // All replicas were down for an hour.
  await rowsOf(database, "update replicas set renewed_at = clock_timestamp() - interval '1 hour'");
  const second = await open({ replicaLeaseMs: 1_500 });
  await sleep(500);
  const resumed = await worker.successor({ credit: 0 }).connect(second.engine);
  t.true(resumed.welcome.resumed);
  t.like(await resumed.succeed(held), { result: "COMMITTED" });
});

test("a worker that beats at another replica is not judged by the stream that it left", async (t) => {
  const { database, open } = await useReplicas(t);
  const [left, now] = await Promise.all([open(), open()]);
  await left.put([{ id: "a", timeouts: { heartbeatMs: 500 }, retry: { maxAttempts: 1 } }]);
  const worker = await left.worker();
  const started = await left.start();
  const held = await worker.next();
  // The line to the first replica falls silent: it still believes in its stream.
  const resumed = await worker.successor({ credit: 0 }).connect(now.engine);
  for (let n = 0; n < 15; n++) {
    resumed.session.beat([{ attempt: held.attempt, progress: undefined, details: undefined }]);
    await sleep(100);
  }
  t.like(await resumed.succeed(held), { result: "COMMITTED" });
  t.is((await started.end()).status, "COMPLETED");
  t.deepEqual(await brokenInvariants(database), []);
});

test("a delivery whose acknowledgement was lost stays with a worker that went on at another replica", async (t) => {
  const { database, open } = await useReplicas(t);
  let judged = 0;
  const wrapLeases = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) => {
        if (name !== "readHeldTasks") return target[name].bind(target) as unknown;
        return (ids: readonly string[]) => target.readHeldTasks(ids).finally(() => judged++);
      },
    });
  const left = await open({ workers: { deliveryTimeoutMs: 600 }, wrapLeases });
  const now = await open();
  await left.put([{ id: "a", retry: { maxAttempts: 1 } }]);
  const worker = await left.worker({ acknowledges: false });
  const started = await left.start();
  const held = await worker.next();
  // The first replica still believes in its stream, on which nothing arrives.
  const resumed = await worker.successor({ credit: 0 }).connect(now.engine);
  t.like(resumed.welcome, { resumed: true, stale: [] });
  t.like(await worker.closed(), { reason: "DELIVERY_NOT_ACKNOWLEDGED" });
  await until("the first replica has asked where its session is", () => judged > 0);
  t.like(await resumed.succeed(held), { result: "COMMITTED" });
  t.is((await started.end()).status, "COMPLETED");
  t.deepEqual(await rowsOf(database, "select lease, crashes from tasks"), [{ lease: 1, crashes: 0 }]);
});

test("an end that another replica commits reaches who waits, with notifications and without", async (t) => {
  for (const notifies of [true, false]) {
    const { open } = await useReplicas(t);
    const settings = { notifies, replicaLeaseMs: 3_000 };
    const here = await open(settings);
    await here.put([{ id: "a" }]);
    const started = await here.start();
    const signal = new AbortController().signal;
    const waiting = here.engine.executions.wait("default", started.executionId, {
      timeoutMs: 15_000,
      signal,
    });
    // The first replica was alone until now.
    const there = await open(settings);
    (await there.worker()).run(() => success("x"));
    t.deepEqual(parseJson((await started.end(5_000)).output!), { a: "x" });
    t.is((await waiting)?.status, "COMPLETED");
  }
});

test("replicas that have only just started notify each other", async (t) => {
  const { open } = await useReplicas(t);
  const [here, there] = [await open(), await open()];
  await here.put([{ id: "a" }]);
  (await there.worker()).run(() => success());
  const timesMs: number[] = [];
  for (let run = 0; run < 5; run++) {
    const startedAtMs = performance.now();
    await (await here.start()).end();
    timesMs.push(performance.now() - startedAtMs);
  }
  const medianMs = timesMs.sort((a, b) => a - b)[2]!;
  t.true(medianMs < 400, `a run took ${medianMs} ms, as if nobody was notified`);
});

test("the list of workers says which replica serves each, page by page", async (t) => {
  const { open } = await useReplicas(t);
  const replicas = await Promise.all([open(), open()]);
  await replicas[0].put([{ id: "a" }]);
  for (let n = 0; n < 5; n++) {
    await replicas[n % 2]!.worker({ workerName: `w${n}`, labels: { n: String(n) }, slots: 3, buildId: "b" });
  }
  const names: string[] = [];
  for (let pageToken = ""; ;) {
    const page = await replicas[0].engine.workers.list("default", { pageSize: 2, pageToken });
    for (const worker of page.items) {
      names.push(worker.name);
      const at = Number(worker.labels["n"]) % 2;
      t.like(worker, { replicaId: replicas[at]!.engine.replicaId, slots: 3, buildId: "b", draining: false });
    }
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  t.deepEqual(names.sort(), ["w0", "w1", "w2", "w3", "w4"]);
});
