import test from "ava";
import { HeadraceError } from "../../server/core/errors.js";
import { jsonPayload } from "../../server/core/payload.js";
import { CommitError, type CommitStore } from "../../server/engine/commit-store.js";
import { uuidv7 } from "../../server/engine/ids.js";
import { CommitGate, inputBytes } from "../support/commit-gate.js";
import { failure, success } from "../support/scripted-worker.js";
import { brokenInvariants, rowsOf, startRequest, useEngine } from "../support/test-engine.js";

const MIB = 1024 * 1024;
const CANCEL = { reason: "r", graceMs: 30_000 };

test("a start with a used id is refused, also in one batch with a command that locks its execution", async (t) => {
  const gate = new CommitGate();
  const replica = await useEngine(t, [{ id: "a" }], { lanes: 1, wrapCommits: gate.wrap });
  await replica.put([{ id: "zz" }], { name: "other" });
  const worker = await replica.worker();
  const executionId = uuidv7();
  await replica.start({ executionId });
  const held = await worker.received();
  const open = gate.shut();
  const { executions } = replica.engine;
  const first = executions.start("default", startRequest({ workflow: "other" }));
  const repeated = executions.start("default", startRequest({ executionId, workflow: "other" }));
  const cancelled = executions.cancel("default", executionId, CANCEL);
  // The cancellation reads before it is a command; what it reads is answered on another connection.
  await executions.get("default", executionId);
  open();
  await first;
  const refused = await t.throwsAsync(repeated, { instanceOf: HeadraceError });
  t.is(refused.reason, "IDEMPOTENCY_CONFLICT");
  t.true((await cancelled).accepted);
  t.like(await worker.cancelOf(held), { reason: "EXECUTION_CANCELLED" });
  await worker.report(held, { kind: "cancelled", message: "" });
  t.deepEqual(
    await rowsOf(replica.database, "select task_id, status from tasks where execution_id = $1", [
      executionId,
    ]),
    [{ task_id: "a", status: "CANCELLED" }],
  );
});

test("a task that is given back in the batch of a cancellation is not handed out again", async (t) => {
  const gate = new CommitGate();
  const replica = await useEngine(t, [{ id: "a" }], { lanes: 1, wrapCommits: gate.wrap });
  const worker = await replica.worker();
  const started = await replica.start();
  const held = await worker.received();
  const open = gate.shut();
  const blocker = replica.engine.executions.start("default", startRequest());
  const givenBack = worker.report(held, { kind: "givenBack" });
  const cancelled = replica.engine.executions.cancel("default", started.executionId, CANCEL);
  await replica.engine.executions.get("default", started.executionId);
  open();
  await Promise.all([blocker, givenBack]);
  t.is((await cancelled).status, "CANCELLED");
  t.is((await started.end()).status, "CANCELLED");
  t.deepEqual(
    await rowsOf(replica.database, "select status from tasks where execution_id = $1", [started.executionId]),
    [{ status: "CANCELLED" }],
  );
});

test("what a plan gives each of its executions is written for each, within the bounds of a transaction", async (t) => {
  const gate = new CommitGate();
  const payload = jsonPayload("x".repeat(2 * MIB - 10));
  const tasks = [{ id: "a", input: { kind: "literal", payload } as const }];
  const replica = await useEngine(t, tasks, { lanes: 1, wrapCommits: gate.wrap });
  const starts = Array.from({ length: 40 }, () => replica.start());
  const answers = await Promise.all(starts);
  t.true(answers.every(({ created }) => created));
  t.deepEqual(await rowsOf(replica.database, "select count(*)::int as tasks from tasks"), [{ tasks: 40 }]);
  for (const writes of gate.committed.all) t.true(inputBytes(writes) <= 18 * MIB, `${inputBytes(writes)}`);
});

test("failures and details of heartbeats count for the bound of a batch", async (t) => {
  const gate = new CommitGate();
  const retry = { initialIntervalMs: 600_000, maxIntervalMs: 600_000 };
  const tasks = Array.from({ length: 24 }, (_, n) => ({ id: `p${n}`, handler: "a", retry }));
  const replica = await useEngine(t, tasks, { lanes: 1, wrapCommits: gate.wrap });
  const worker = await replica.worker({ credit: 30 });
  await replica.start();
  const held = await worker.take(24);
  const open = gate.shut();
  const blocker = replica.engine.executions.start("default", startRequest());
  const details = jsonPayload("x".repeat(MIB / 2));
  const reports = held.map((assignment, n) => {
    if (n % 2 > 0) worker.session.beat([{ attempt: assignment.attempt, progress: undefined, details }]);
    const outcome = failure({ message: n % 2 > 0 ? "" : "y".repeat(MIB / 2) });
    return worker.report(assignment, outcome);
  });
  open();
  await blocker;
  t.true((await Promise.all(reports)).every(({ result }) => result === "COMMITTED"));
  const sizes = gate.committed.all.map(({ attemptInserts }) => attemptInserts.length);
  t.is(Math.max(...sizes), 15);
});

test("a report that can never be committed is rejected, and the stream goes on", async (t) => {
  const wrapCommits = (store: CommitStore): CommitStore => ({
    transact: (lane, locks, decide) =>
      locks.tasks.some(({ taskId }) => taskId === "poison")
        ? Promise.reject(new CommitError("refused", new Error("as it is")))
        : store.transact(lane, locks, decide),
  });
  const tasks = ["poison", "fine"].map((id) => ({ id, handler: "a" }));
  const replica = await useEngine(t, tasks, { wrapCommits });
  const worker = await replica.worker({ credit: 2 });
  await replica.start();
  const [poison, fine] = await worker.take(2);
  t.like(await worker.succeed(poison!), { result: "REJECTED", reason: "INTERNAL" });
  t.like(await worker.succeed(fine!), { result: "COMMITTED" });
});

test("a small start waits for its turn beside wide graphs, not for them", async (t) => {
  const gate = new CommitGate();
  const roots = Array.from({ length: 40 }, (_, n) => ({
    id: `r${n}`,
    input: { kind: "fields", fields: { doc: "input.doc", n: String(n) } } as const,
  }));
  const replica = await useEngine(t, roots, { lanes: 1, wrapCommits: gate.wrap });
  await replica.put([{ id: "b" }], { name: "small" });
  const input = jsonPayload({ doc: "x".repeat(MIB / 2) });
  const open = gate.shut();
  const blocker = replica.start({ workflow: "small" });
  const wide = Array.from({ length: 12 }, () => replica.start({ input }));
  const small = replica.start({ workflow: "small" });
  open();
  await Promise.all([blocker, small]);
  const before = gate.committed.all.length;
  t.true(before <= 4, `${before} transactions`);
  await Promise.all(wide);
  const worker = await replica.worker({ handlers: roots.map(({ id }) => id), credit: 1_000 });
  worker.run(() => success());
  for (const { end } of await Promise.all(wide)) t.is((await end(50_000)).status, "COMPLETED");
  t.deepEqual(
    (await brokenInvariants(replica.database)).filter((text) => !text.startsWith("not ended")),
    [],
  );
});
