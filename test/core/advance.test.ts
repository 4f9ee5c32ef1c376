import test from "ava";
import { CoreExecution, planOf } from "../support/core-execution.js";

const DIAMOND = [
  { id: "a" },
  { id: "b", dependsOn: ["a"] },
  { id: "c", dependsOn: ["a"] },
  { id: "d", dependsOn: ["b", "c"] },
];

test("only tasks without dependencies begin", (t) => {
  const run = new CoreExecution(planOf(DIAMOND));
  t.deepEqual(run.statuses(), { a: "READY", b: "PENDING", c: "PENDING", d: "PENDING" });
  t.is(run.state.status, "RUNNING");
});

test("a task begins when its last dependency has completed, and the last task ends the execution", (t) => {
  const run = new CoreExecution(planOf(DIAMOND), { n: 1 });
  run.succeed("a", { a: 1 });
  t.deepEqual(run.statuses(), { a: "COMPLETED", b: "READY", c: "READY", d: "PENDING" });
  t.deepEqual(run.input("b"), { n: 1, a: 1 });
  run.succeed("b", { b: 2 });
  t.is(run.status("d"), "PENDING");
  run.succeed("c", { c: 3 });
  t.deepEqual(run.input("d"), { n: 1, b: 2, c: 3 });
  run.succeed("d", { ok: true });
  t.is(run.state.status, "COMPLETED");
  t.deepEqual(run.output(), { d: { ok: true } });
  t.is(run.state.openCount, 0);
});

test("an output beyond what an execution may keep for others fails its task for good", (t) => {
  // What nobody reads any more is not kept: the chain is as long as one likes, its outputs together are not.
  const plan = planOf(
    [
      { id: "a" },
      { id: "b", dependsOn: ["a"] },
      { id: "c", dependsOn: ["b"] },
      { id: "d", dependsOn: ["c"] },
      { id: "e", dependsOn: ["c"] },
    ],
    { output: "1" },
  );
  const run = new CoreExecution(plan);
  run.keptOutputBytesMax = 10;
  run.succeed("a", "12345678").succeed("b", "12345678").succeed("c", "12345678");
  t.is(run.state.keptBytes, 0, "the last readers have begun");
  run.succeed("d", "1".repeat(100));
  t.is(run.status("d"), "COMPLETED", "nobody reads it");
  t.is(run.succeed("e").state.status, "COMPLETED");

  const wide = new CoreExecution(planOf(DIAMOND));
  wide.keptOutputBytesMax = 10;
  wide.succeed("a", "12345678").succeed("b", "1234");
  t.is(wide.state.keptBytes, 6);
  wide.succeed("c", "12345");
  t.like(wide.state.tasks[wide.index("c")], { status: "FAILED", failure: { reason: "PAYLOAD_TOO_LARGE" } });
  t.regex(
    wide.state.failure?.message ?? "",
    /would have 13 bytes together; the limit is 10\. Return references/,
  );
  t.is(wide.state.status, "FAILED");
});

test("a failed attempt is tried again after its delay, until the attempts are used up", (t) => {
  const run = new CoreExecution(
    planOf([{ id: "a", retry: { maxAttempts: 2, initialIntervalMs: 100, jitter: 0 } }]),
  );
  run.fail("a");
  t.is(run.status("a"), "SCHEDULED");
  t.deepEqual(
    run.draft.superseded.map(({ retryDelayMs }) => retryDelayMs),
    [100],
  );
  run.due("a", 99);
  t.is(run.status("a"), "SCHEDULED", "not due yet");
  run.due("a", 1);
  t.is(run.status("a"), "READY");
  t.is(run.state.tasks[0]?.attempt, 2);
  run.fail("a");
  t.is(run.status("a"), "FAILED");
  t.is(run.state.status, "FAILED");
  t.is(run.state.failure?.taskId, "a");
  t.is(run.state.failure?.cause?.message, "boom");
});

test("a failure that is not retryable, by its flag or by its type, is final", (t) => {
  const retry = { maxAttempts: 5, nonRetryableErrorTypes: ["BadCard"] };
  t.is(
    new CoreExecution(planOf([{ id: "a", retry }])).fail("a", { nonRetryable: true }).status("a"),
    "FAILED",
  );
  t.is(
    new CoreExecution(planOf([{ id: "a", retry }])).fail("a", { errorType: "BadCard" }).status("a"),
    "FAILED",
  );
  t.is(
    new CoreExecution(planOf([{ id: "a", retry }])).fail("a", { errorType: "Other" }).status("a"),
    "SCHEDULED",
  );
});

test("retry_after replaces the delay of the policy", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }])).fail("a", { retryAfterMs: 7_000 });
  t.is(run.state.tasks[0]?.dueAtMs, run.nowMs + 7_000);
});

test("skips travel under ALL_SUCCESS, and what does not depend on the failure goes on", (t) => {
  const tasks = [...DIAMOND, { id: "e", dependsOn: ["d"] }, { id: "x" }];
  const run = new CoreExecution(planOf(tasks));
  run.succeed("a");
  run.fail("b", { nonRetryable: true });
  t.deepEqual(run.statuses(), {
    a: "COMPLETED",
    b: "FAILED",
    c: "READY",
    d: "PENDING",
    e: "PENDING",
    x: "READY",
  });
  run.succeed("c");
  t.deepEqual(run.statuses(), {
    a: "COMPLETED",
    b: "FAILED",
    c: "COMPLETED",
    d: "SKIPPED",
    e: "SKIPPED",
    x: "READY",
  });
  t.is(run.state.status, "RUNNING");
  run.succeed("x");
  t.is(run.state.status, "FAILED");
});

test("an undelivered hand-out goes back with the same attempt and nothing counted", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }])).lose("a", "UNDELIVERED");
  t.like(run.state.tasks[0], { status: "READY", attempt: 1, crashes: 0 });
  t.true(run.draft.touched.get(0)?.revoked);
  t.deepEqual(run.draft.superseded, []);
});

test("a worker that vanishes costs no attempt, and too often quarantines the task", (t) => {
  const run = new CoreExecution(planOf([{ id: "a", retry: { maxAttempts: 1, maxCrashes: 3 } }]));
  run.lose("a", "WORKER_LOST");
  t.like(run.state.tasks[0], { status: "READY", attempt: 1, crashes: 1 });
  run.lose("a", "WORKER_LOST", false);
  t.like(run.state.tasks[0], { status: "READY", crashes: 1 }, "a loss that is not counted");
  run.lose("a", "WORKER_LOST").lose("a", "WORKER_LOST");
  t.like(run.state.tasks[0], { status: "FAILED", attempt: 1, crashes: 3 });
  t.is(run.state.tasks[0]?.failure?.reason, "WORKER_LOST");
});

test("an attempt timeout uses an attempt, tells the worker, and ends the task as TIMED_OUT", (t) => {
  const run = new CoreExecution(
    planOf([{ id: "a", retry: { maxAttempts: 2 }, timeouts: { attemptMs: 10 } }]),
  );
  run.lose("a", "ATTEMPT_TIMEOUT");
  t.like(run.state.tasks[0], { status: "SCHEDULED", attempt: 2 });
  t.deepEqual(
    run.draft.stops.map(({ reason, outcomeWanted }) => [reason, outcomeWanted]),
    [["ATTEMPT_TIMEOUT", false]],
  );
  run.due("a", 60_000).lose("a", "ATTEMPT_TIMEOUT");
  t.is(run.status("a"), "TIMED_OUT");
  t.is(run.state.status, "FAILED");
});

test("the queue timeout ends a task that nobody took", (t) => {
  const run = new CoreExecution(planOf([{ id: "a", timeouts: { queueMs: 50 } }]));
  t.is(run.state.tasks[0]?.dueAtMs, run.nowMs + 50);
  t.is(run.due("a", 49).status("a"), "READY");
  t.is(run.due("a", 1).status("a"), "TIMED_OUT");
  t.is(run.state.tasks[0]?.failure?.reason, "QUEUE_TIMEOUT");
});

test("no attempt begins after the total timeout", (t) => {
  const retry = { maxAttempts: 9, initialIntervalMs: 100, jitter: 0 };
  const run = new CoreExecution(planOf([{ id: "a", retry, timeouts: { totalMs: 150 } }]));
  run.fail("a");
  t.is(run.status("a"), "SCHEDULED");
  run.due("a", 100).fail("a");
  t.like(run.state.tasks[0], { status: "TIMED_OUT" });
  t.is(run.state.tasks[0]?.failure?.reason, "TOTAL_TIMEOUT");
  t.is(run.state.tasks[0]?.failure?.cause?.message, "boom");
});

test("cancel ends what waits at once, and what runs gets the grace", (t) => {
  const tasks = [{ id: "a" }, { id: "b" }, { id: "c", dependsOn: ["a"] }];
  const run = new CoreExecution(planOf(tasks)).cancel(1_000, ["a"]);
  t.deepEqual(run.statuses(), { a: "READY", b: "CANCELLED", c: "PENDING" });
  t.deepEqual(
    run.draft.stops.map(({ index, outcomeWanted }) => [index, outcomeWanted]),
    [[0, true]],
  );
  t.is(run.state.status, "RUNNING");
  run.report("a", { kind: "cancelled", message: "" });
  t.is(run.status("a"), "CANCELLED");
  t.is(run.state.status, "CANCELLED");
  t.is(run.state.failure?.message, "not needed");
});

test("a task that completes during the grace completes, and nothing follows it", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }, { id: "b", dependsOn: ["a"] }]))
    .cancel(1_000, ["a"])
    .succeed("a");
  t.deepEqual(run.statuses(), { a: "COMPLETED", b: "PENDING" });
  t.is(run.state.status, "CANCELLED");
});

test("a cancellation that left nothing undone changes nothing", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }])).cancel(1_000, ["a"]).succeed("a", 7);
  t.is(run.state.status, "COMPLETED");
  t.deepEqual(run.output(), { a: 7 });
});

test("the grace of a cancellation ends by force", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }])).cancel(1_000, ["a"]).executionDue(1_000, ["a"]);
  t.is(run.status("a"), "CANCELLED");
  t.true(run.draft.touched.get(0)?.revoked);
  t.deepEqual(
    run.draft.stops.map(({ outcomeWanted }) => outcomeWanted),
    [false],
  );
  t.is(run.state.status, "CANCELLED");
});

test("cancelling again can only shorten the grace", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }])).cancel(1_000, ["a"]);
  run.cancel(5_000, ["a"]);
  t.is(run.state.cancelDueAtMs, run.nowMs + 1_000);
  run.cancel(0, ["a"]);
  t.is(run.state.status, "CANCELLED");
});

test("the deadline ends the execution as TIMED_OUT, whatever runs", (t) => {
  const run = new CoreExecution(planOf(DIAMOND), null, 500);
  t.is(run.executionDue(499, ["a"]).state.status, "RUNNING");
  run.executionDue(1, ["a"]);
  t.is(run.state.status, "TIMED_OUT");
  t.is(run.status("a"), "CANCELLED");
  t.is(run.state.failure?.reason, "EXECUTION_TIMEOUT");
});

test("an input that cannot be made fails its task and not the server", (t) => {
  const input = { kind: "expression", expression: "tasks.a.output.missing.field" } as const;
  const run = new CoreExecution(planOf([{ id: "a" }, { id: "b", dependsOn: ["a"], input }])).succeed("a", {});
  t.is(run.status("b"), "FAILED");
  t.is(run.state.status, "FAILED");
  t.is(run.state.tasks[1]?.failure?.reason, "EXPRESSION_FAILED");
});

test("an output that cannot be made fails the execution", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }], { output: "tasks.a.output.missing.field" })).succeed(
    "a",
    {},
  );
  t.is(run.state.status, "FAILED");
  t.is(run.state.failure?.reason, "EXPRESSION_FAILED");
});

test("commands that come after the end change nothing", (t) => {
  const run = new CoreExecution(planOf([{ id: "a" }])).succeed("a", 1);
  run.fail("a").lose("a", "WORKER_LOST").cancel(0, []).due("a", 1e9);
  t.is(run.state.status, "COMPLETED");
  t.is(run.draft.touched.size, 0);
  t.false(run.draft.executionTouched);
});

test("outputs are dropped from memory once nothing can read them", (t) => {
  const run = new CoreExecution(
    planOf([{ id: "a" }, { id: "b", dependsOn: ["a"] }, { id: "c", dependsOn: ["b"] }]),
  );
  run.succeed("a", "x".repeat(1_000));
  t.is(run.state.keptBytes, 0, "b has taken its input, nobody else reads a");
  t.is(run.state.tasks[0]?.output, undefined);
});

test("a chain of 10,000 skips does not overflow the stack", (t) => {
  const tasks = Array.from({ length: 10_000 }, (_, n) => ({
    id: `t${n}`,
    dependsOn: n === 0 ? [] : [`t${n - 1}`],
  }));
  const run = new CoreExecution(planOf(tasks)).fail("t0", { nonRetryable: true });
  t.is(run.status("t9999"), "SKIPPED");
  t.is(run.state.status, "FAILED");
});
