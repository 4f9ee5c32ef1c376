import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { CommitError, type CommitStore } from "../../server/engine/commit-store.js";
import { Outages } from "../../server/engine/outages.js";
import { LeaseOutage } from "../support/lease-outage.js";
import { success } from "../support/scripted-worker.js";
import { rowsOf, useEngine } from "../support/test-engine.js";
import { until } from "../support/until.js";

const WORKERS = { closedGraceMs: 300, beatTimeoutMs: 6_000 };
const ONCE = [{ id: "a", retry: { maxAttempts: 1 } }];

test("a worker whose report the database did not take resumes when that is back, and nothing is lost", async (t) => {
  const outage = new LeaseOutage(false);
  let away = false;
  const wrapCommits = (store: CommitStore): CommitStore => ({
    transact: (lane, locks, decide) =>
      away
        ? Promise.reject(new CommitError("retry", new Error("The database is away.")))
        : store.transact(lane, locks, decide),
  });
  const workers = { ...WORKERS, beatTimeoutMs: 1_500 };
  const replica = await useEngine(t, ONCE, { wrapLeases: outage.wrapLeases, wrapCommits, workers });
  const worker = await replica.worker({ credit: 2, slots: 2 });
  await replica.start();
  await replica.start();
  const held = [await worker.received(), await worker.received()];
  away = true;
  outage.begin();
  worker.session.report([{ attempt: held[0]!.attempt, outcome: success() }]);
  await worker.closed();
  // Longer than the beat timeout.
  for (let n = 0; n < 5; n++) {
    await t.throwsAsync(worker.successor({ credit: 0 }).connect(replica.engine));
    await sleep(400);
  }
  away = false;
  outage.end();
  await sleep(800);
  const back = await worker.successor({ credit: 0 }).connect(replica.engine);
  t.like(back.welcome, { resumed: true, stale: [] });
  for (const assignment of held) t.like(await back.succeed(assignment), { result: "COMMITTED" });
  t.deepEqual(await rowsOf(replica.database, "select from tasks where crashes > 0 or lease > 1"), []);
});

for (const hangs of [false, true]) {
  const how = hangs ? "that answers late" : "that refuses";
  test(`a grace does not end in an outage ${how}, nor at once after it`, async (t) => {
    const outage = new LeaseOutage(hangs);
    const replica = await useEngine(t, ONCE, { wrapLeases: outage.wrapLeases, workers: WORKERS });
    const worker = await replica.worker();
    await replica.start();
    const held = await worker.received();
    outage.begin();
    worker.session.disconnected("closed");
    if (hangs) await sleep(WORKERS.closedGraceMs + 1_500);
    else await t.throwsAsync(worker.successor().connect(replica.engine));
    outage.end();
    await sleep(WORKERS.closedGraceMs + 500);
    const back = await worker.successor({ credit: 0 }).connect(replica.engine);
    t.true(back.welcome.resumed);
    t.like(await back.succeed(held), { result: "COMMITTED" });
  });
}

test("a worker that does not come back after an outage is given up all the same", async (t) => {
  const outage = new LeaseOutage(false);
  const workers = { ...WORKERS, beatTimeoutMs: 1_000 };
  const replica = await useEngine(t, ONCE, { wrapLeases: outage.wrapLeases, workers });
  const worker = await replica.worker({ workerName: "gone" });
  await replica.start();
  await worker.received();
  outage.begin();
  worker.session.disconnected("closed");
  await t.throwsAsync(worker.successor().connect(replica.engine));
  outage.end();
  const closed = "select from sessions where closed_at is not null";
  await until("it is given up", async () => (await rowsOf(replica.database, closed)).length === 1);
  const other = await replica.worker({ workerName: "other" });
  t.like(await other.next(), { crashes: 1, attempt: { attempt: 1, lease: 3 } });
});

test("an outage is what was refused, or took too long", async (t) => {
  const outages = new Outages();
  await outages.watch(Promise.resolve());
  t.is(outages.lastMs, -Infinity);
  const askedAtMs = performance.now();
  await t.throwsAsync(outages.watch(Promise.reject(new Error("refused"))), { message: "refused" });
  t.true(outages.lastMs >= askedAtMs);
  const refusedAtMs = outages.lastMs;
  t.is(await outages.watch(sleep(1_100, "late")), "late");
  t.true(outages.lastMs >= refusedAtMs + 1_000);
});
