import { setTimeout as sleep } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { parseJson } from "../../server/core/payload.js";
import type { ExecutionEnd, StartAnswer } from "../../server/engine/api.js";
import { CommitError, type CommitStore } from "../../server/engine/commit-store.js";
import { uuidv7 } from "../../server/engine/ids.js";
import { DurableWorker } from "../support/durable-worker.js";
import { success } from "../support/scripted-worker.js";
import {
  brokenInvariants,
  rowsOf,
  startRequest,
  useEngine,
  useReplicas,
  type TestEngine,
  type TestReplicas,
} from "../support/test-engine.js";
import { until, within } from "../support/until.js";

interface Started {
  readonly answer: StartAnswer;
  readonly end: Promise<ExecutionEnd>;
}

/** Starts until it is acknowledged, as a client with an idempotency key does. */
async function startForSure(
  replicas: readonly TestEngine[],
  isOver: () => boolean,
): Promise<Started | undefined> {
  const idempotencyKey = uuidv7();
  for (let turn = 0; ; turn++) {
    const replica = replicas[turn % replicas.length]!;
    let onEnd: (end: ExecutionEnd) => void = () => undefined;
    const end = new Promise<ExecutionEnd>((resolve) => (onEnd = resolve));
    try {
      const request = startRequest({ idempotencyKey, onEnd });
      return { answer: await replica.engine.executions.start("default", request), end };
    } catch {
      if (isOver()) return undefined;
      await sleep(20);
    }
  }
}

/** What must hold after a storm: every acknowledged start has ended, each result from its last lease. */
async function checkOutcome(
  t: ExecutionContext,
  { database }: TestReplicas,
  { started, workers }: { started: readonly Started[]; workers: readonly DurableWorker[] },
): Promise<void> {
  await until(
    "all work is done",
    async () =>
      (await rowsOf(database, "select from executions where finished_at is null limit 1")).length === 0,
    30_000,
  );
  const created = started.filter(({ answer }) => answer.created);
  await within("every end is told", Promise.all(created.map(({ end }) => end)), 15_000);
  t.deepEqual(await brokenInvariants(database), []);
  const rows = await rowsOf<{ execution_id: string; status: string; tasks: number }>(
    database,
    `select execution_id, e.status, count(*) as tasks from executions e join tasks t using (namespace_id, execution_id)
      where t.status = 'COMPLETED' and t.attempt = 1 group by 1, 2`,
  );
  const ended = new Map(rows.map((row) => [row.execution_id, row]));
  for (const { answer } of started) t.like(ended.get(answer.executionId), { status: "COMPLETED", tasks: 2 });
  const results = await rowsOf<{ task: string; lease: number; output: Buffer }>(
    database,
    "select execution_id || '/' || task_id as task, lease, output from tasks",
  );
  const committed = new Map<string, number>();
  for (const worker of workers) {
    for (const [name, times] of worker.committed) {
      const task = name.slice(0, name.lastIndexOf("#"));
      committed.set(task, (committed.get(task) ?? 0) + times);
    }
  }
  for (const { task, lease, output } of results) {
    t.deepEqual(parseJson({ data: output, encoding: "json" }), { lease }, "the result of the current lease");
    t.true((committed.get(task) ?? 0) <= 1, "one report is acknowledged as committed");
  }
}

async function startWorkers(t: ExecutionContext, replicas: readonly TestEngine[]): Promise<DurableWorker[]> {
  const engines = replicas.map(({ engine }) => engine);
  const workers = [0, 1, 2].map((n) => new DurableWorker(`w${n}`, [...engines.slice(n % 2), ...engines]));
  for (const worker of workers) {
    t.teardown(() => worker.stop());
    await worker.connect();
  }
  return workers;
}

const TASKS = [
  { id: "a", retry: { maxAttempts: 1 } },
  { id: "b", dependsOn: ["a"], retry: { maxAttempts: 1 }, input: { kind: "fields", fields: {} } },
] as const;

test("no acknowledged start is lost while every database connection is killed ten times a second", async (t) => {
  const group = await useReplicas(t);
  const settings = { workers: { deliveryTimeoutMs: 500 }, replicaLeaseMs: 5_000 };
  const replicas = await Promise.all([group.open(settings), group.open(settings)]);
  await replicas[0].put(TASKS);
  const workers = await startWorkers(t, replicas);
  const stormEndsAt = performance.now() + 3_000;
  const isOver = (): boolean => performance.now() > stormEndsAt + 10_000;
  const starting: Promise<Started | undefined>[] = [];
  let killed = 0;
  while (performance.now() < stormEndsAt) {
    for (let n = 0; n < 20; n++) starting.push(startForSure(replicas, isOver));
    const rows = await rowsOf(
      group.database,
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`,
    );
    killed += rows.length;
    await sleep(100);
  }
  t.true(killed > 50, `${killed} connections were killed`);
  const started = (await Promise.all(starting)).filter((each) => each !== undefined);
  t.is(started.length, starting.length, "every start is acknowledged in the end");
  await checkOutcome(t, group, { started, workers });
});

test("nothing is lost or done twice when it is unknown whether commits happened", async (t) => {
  const group = await useReplicas(t);
  let commits = 0;
  // Every fifth commit happens and is not acknowledged, every seventh does not happen.
  const wrapCommits = (store: CommitStore): CommitStore => ({
    transact: async (...args) => {
      const nth = ++commits;
      if (nth % 7 === 0) throw new CommitError("unknown", new Error("cut before"));
      await store.transact(...args);
      if (nth % 5 === 0) throw new CommitError("unknown", new Error("cut after"));
    },
  });
  const settings = { workers: { deliveryTimeoutMs: 300 }, wrapCommits };
  const replicas = await Promise.all([group.open(settings), group.open(settings)]);
  await replicas[0].put(TASKS);
  const workers = await startWorkers(t, replicas);
  const starting: Promise<Started | undefined>[] = [];
  for (let round = 0; round < 60; round++) {
    for (let n = 0; n < 3; n++) starting.push(startForSure(replicas, () => false));
    await sleep(5);
  }
  const started = (await Promise.all(starting)).filter((each) => each !== undefined);
  await checkOutcome(t, group, { started, workers });
  t.is((await rowsOf(group.database, "select from executions")).length, 180);
  t.true(commits > 50);
});

test("one command that can never be committed fails alone", async (t) => {
  const replica = await useEngine(t, [{ id: "a" }], { lanes: 1 });
  const bad = { data: Buffer.from("{}"), encoding: "json" };
  const poison = "00000000-0000-7000-8000-0000000000ff";
  await rowsOf(
    replica.database,
    `alter table executions add constraint no_poison check (execution_id <> '${poison}')`,
  );
  const starts = Array.from({ length: 20 }, (_, n) =>
    replica.start({ input: bad, ...(n === 10 ? { executionId: poison } : {}) }),
  );
  const results = await Promise.allSettled(starts);
  t.deepEqual(
    results.flatMap(({ status }, n) => (status === "rejected" ? [n] : [])),
    [10],
  );
  t.is((await rowsOf(replica.database, "select from executions")).length, 19);
});

test("while the database does not answer, starts are refused and may be sent again", async (t) => {
  let isDown = false;
  const wrapCommits = (store: CommitStore): CommitStore => ({
    transact: (...args) =>
      isDown ? Promise.reject(new CommitError("retry", new Error("down"))) : store.transact(...args),
  });
  const replica = await useEngine(t, [{ id: "a" }], { wrapCommits });
  isDown = true;
  const request = { idempotencyKey: "k" };
  const refused = replica.start(request);
  await t.throwsAsync(refused, { name: "HeadraceError", message: /did not commit/ });
  isDown = false;
  t.true((await replica.start(request)).created);
});

test("a replica that stops answers what it accepted, and refuses the rest", async (t) => {
  const replica = await useEngine(t);
  await replica.start();
  const accepted = Array.from({ length: 50 }, () => replica.start());
  await new Promise((resolve) => setImmediate(resolve));
  const stopping = replica.stop();
  const results = await Promise.allSettled(accepted);
  await stopping;
  const committed = await rowsOf(replica.database, "select from executions");
  const acknowledged = results.filter(({ status }) => status === "fulfilled").length;
  t.is(committed.length, acknowledged + 1);
  for (const result of results)
    if (result.status === "rejected") t.like(result.reason, { reason: "DRAINING" });
  await t.throwsAsync(replica.start(), { name: "HeadraceError" });
  t.false(replica.engine.isReady());
});

test("workers that come and go all the time finish every task exactly once in its result", async (t) => {
  const group = await useReplicas(t);
  const settings = { workers: { closedGraceMs: 100, deliveryTimeoutMs: 500 } };
  const replicas = await Promise.all([group.open(settings), group.open(settings)]);
  await replicas[0].put([{ id: "a", retry: { maxAttempts: 1, maxCrashes: 100 } }]);
  const starts = await Promise.all(Array.from({ length: 200 }, (_, n) => replicas[n % 2]!.start()));
  let done = false;
  const comeAndGo = async (at: number): Promise<void> => {
    while (!done) {
      const worker = await replicas[at]!.worker({ credit: 5, slots: 5, workerName: `w${at}` });
      worker.run(({ attempt }) => (attempt.executionId.endsWith("0") ? undefined : success(attempt.lease)));
      await sleep(60);
      const held = [...worker.held.values()];
      worker.session.report(held.map(({ attempt }) => ({ attempt, outcome: success(attempt.lease) })));
      worker.session.disconnected("closed");
    }
  };
  const workers = [0, 1, 0].map(comeAndGo);
  const ends = await Promise.all(starts.map(({ end }) => end(25_000)));
  done = true;
  await Promise.all(workers);
  t.true(ends.every(({ status }) => status === "COMPLETED"));
  const wrong = await rowsOf(
    group.database,
    "select from tasks where convert_from(output, 'utf8') <> lease::text",
  );
  t.deepEqual(wrong, []);
  t.deepEqual(await brokenInvariants(group.database), []);
});
