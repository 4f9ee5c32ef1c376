import test from "ava";
import type { CommitStore } from "../../server/engine/commit-store.js";
import { rowsOf, useEngine, useReplicas } from "../support/test-engine.js";
import { until } from "../support/until.js";

test("a thousand timers that are refused each time hold up no other", async (t) => {
  const { database, open } = await useReplicas(t);
  const first = await open();
  await first.put([{ id: "a", timeouts: { queueMs: 3_600_000 } }]);
  await Promise.all(Array.from({ length: 1_100 }, () => first.start()));
  await first.stop();
  await rowsOf(database, "update executions set version = '00000000-0000-4000-8000-000000000000'");
  await rowsOf(database, "update tasks set due_at = clock_timestamp() - interval '1 h'");
  const replica = await open();
  await replica.put([{ id: "a", timeouts: { queueMs: 100 } }], { name: "other" });
  const started = await replica.start({ workflow: "other" });
  t.like(await started.end(), { failure: { cause: { reason: "QUEUE_TIMEOUT" } } });
  t.true(replica.logged.some(({ message }) => message.startsWith("due times were refused")));
});

test("an execution whose turn takes long is brought once and holds up no timer of others", async (t) => {
  let slow = "";
  let turns = 0;
  let goOn: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const wrapCommits = (store: CommitStore): CommitStore => ({
    transact: async (lane, locks, decide) => {
      if (locks.executions.some(({ executionId }) => executionId === slow)) {
        turns++;
        await gate;
      }
      await store.transact(lane, locks, decide);
    },
  });
  const replica = await useEngine(t, [{ id: "a" }], { lanes: 4, wrapCommits });
  await replica.put([{ id: "a", timeouts: { queueMs: 100 } }], { name: "quick" });
  const held = await replica.start({ deadlineMs: 1_000 });
  slow = held.executionId;
  await until("its turn has begun", () => turns === 1);
  // Of so many some belong to other lanes than the one that waits.
  const others = await Promise.any(
    Array.from({ length: 12 }, async () => (await replica.start({ workflow: "quick" })).end()),
  );
  t.like(others, { failure: { cause: { reason: "QUEUE_TIMEOUT" } } });
  goOn();
  t.is((await held.end()).status, "TIMED_OUT");
  t.is(turns, 1);
});
