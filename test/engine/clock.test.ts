import test from "ava";
import { DatabaseClock } from "../../server/engine/clock.js";
import type { LeaseStore } from "../../server/engine/lease-store.js";
import { useEngine } from "../support/test-engine.js";
import { until } from "../support/until.js";

/** How far the clock is from a database whose time is ahead of the monotonic clock by `offsetMs`. */
function errorOf(clock: DatabaseClock, offsetMs: number): number {
  return clock.nowMs() - performance.now() - offsetMs;
}

test("the database's time is learnt from quick answers, and slow ones do not move it", (t) => {
  const offsetMs = 50_000;
  const clock = new DatabaseClock();
  clock.observe(offsetMs + 1_001, 1_000, 1_002);
  t.true(Math.abs(errorOf(clock, offsetMs)) <= 2);
  clock.observe(offsetMs + 11_999, 2_000, 12_000);
  t.true(Math.abs(errorOf(clock, offsetMs)) <= 2, "the database said so just before the answer came");
  clock.observe(offsetMs + 12_001, 12_000, 22_000);
  t.true(Math.abs(errorOf(clock, offsetMs)) <= 2, "the answer took long to come");
});

test("a slow answer is better than none, and a clock that was set is followed", (t) => {
  const offsetMs = 50_000;
  const clock = new DatabaseClock();
  clock.observe(offsetMs + 2_000, 1_000, 3_000);
  t.true(Math.abs(errorOf(clock, offsetMs)) <= 1_001);
  clock.observe(offsetMs + 4_000, 3_999, 4_001);
  t.true(Math.abs(errorOf(clock, offsetMs)) <= 2);
  for (const jumpMs of [16_000, -16_000]) {
    clock.observe(offsetMs + jumpMs + 5_001, 5_000, 5_002);
    t.true(Math.abs(errorOf(clock, offsetMs + jumpMs)) <= 2);
  }
});

test("a database whose clock jumps makes no worker silent and no heartbeat late", async (t) => {
  let aheadMs = 0;
  let renewals = 0;
  const wrapLeases = (store: LeaseStore): LeaseStore =>
    new Proxy(store, {
      get: (target, name: keyof LeaseStore) =>
        name === "renewReplica"
          ? async (replicaId: string) => {
              const answer = await target.renewReplica(replicaId);
              renewals++;
              return answer === undefined ? undefined : { ...answer, nowMs: answer.nowMs + aheadMs };
            }
          : (target[name].bind(target) as unknown),
    });
  const tasks = [{ id: "a", timeouts: { heartbeatMs: 10_000 }, retry: { maxAttempts: 1 } }];
  const replica = await useEngine(t, tasks, { replicaLeaseMs: 900, wrapLeases });
  const worker = await replica.worker({ credit: 2, slots: 2 });
  const started = await replica.start();
  const held = await worker.received();
  aheadMs = 60_000;
  const before = renewals;
  await until("times are checked by the new clock", () => renewals > before + 2);
  t.false(worker.told.all.some(({ kind }) => kind === "close" || kind === "cancel"));
  t.like(await worker.succeed(held), { result: "COMMITTED" });
  t.is((await started.end()).status, "COMPLETED");
});
