import test from "ava";
import fc from "fast-check";
import type { Outcome } from "../../server/core/command.js";
import {
  keepOutput,
  newState,
  outputsToRead,
  refreshState,
  tasksToOpen,
  type StoredTask,
} from "../../server/core/execution-state.js";
import { isTerminal } from "../../server/core/status.js";
import type { TaskSpec } from "../../server/core/workflow-spec.js";
import { CoreExecution, planOf } from "../support/core-execution.js";

const MAX_ATTEMPTS = 3;

/** Random acyclic graphs: each task may depend on any before it. */
const graphs = fc
  .array(fc.array(fc.nat(30), { maxLength: 4 }), { minLength: 1, maxLength: 25 })
  .map((rows): TaskSpec[] =>
    rows.map((picks, n) => ({
      id: `t${n}`,
      dependsOn: n === 0 ? [] : [...new Set(picks.map((pick) => `t${pick % n}`))],
      retry: { maxAttempts: MAX_ATTEMPTS, initialIntervalMs: 10, maxCrashes: 2 },
    })),
  );

interface Move {
  readonly pick: number;
  readonly kind:
    "success" | "failure" | "fatal" | "crash" | "givenBack" | "undelivered" | "timeout" | "cancel";
}

const moves = fc.array(
  fc.record({
    pick: fc.nat(1_000),
    kind: fc.constantFrom<Move["kind"]>(
      ...([
        "success",
        "success",
        "success",
        "failure",
        "fatal",
        "crash",
        "givenBack",
        "undelivered",
        "timeout",
      ] as const),
    ),
  }),
  { maxLength: 200 },
);

function outcomeOf(kind: Move["kind"]): Outcome {
  if (kind === "success") return { kind: "success", output: undefined };
  if (kind === "givenBack") return { kind: "givenBack" };
  return {
    kind: "failure",
    failure: { reason: "HANDLER_FAILED", message: "", nonRetryable: kind === "fatal" },
  };
}

/** Applies one move to some task that is out; SCHEDULED ones become ready first. */
function play(run: CoreExecution, { pick, kind }: Move): void {
  for (const { id } of run.plan.tasks) if (run.status(id) === "SCHEDULED") run.due(id, 1_000_000);
  const out = run.plan.tasks.filter(({ id }) => run.status(id) === "READY");
  const task = out[pick % Math.max(1, out.length)];
  if (task === undefined) return;
  if (kind === "crash") run.lose(task.id, "WORKER_LOST");
  else if (kind === "undelivered") run.lose(task.id, "UNDELIVERED");
  else if (kind === "timeout") run.lose(task.id, "ATTEMPT_TIMEOUT");
  else if (kind === "cancel") run.cancel(0, []);
  else if (kind === "success" && pick % 3 > 0) run.succeed(task.id, { [task.id]: pick });
  else run.report(task.id, outcomeOf(kind));
}

/** What must hold after every step (server/docs/states.md). */
function violations(run: CoreExecution): string[] {
  const found: string[] = [];
  for (const plan of run.plan.tasks) {
    const task = run.state.tasks[plan.index];
    const dependencies = plan.dependsOn.map((index) => run.state.tasks[index]?.status ?? "PENDING");
    if (task === undefined) continue;
    if (task.attempt > MAX_ATTEMPTS) found.push(`${plan.id}: attempt ${task.attempt}`);
    if (task.crashes > 2) found.push(`${plan.id}: ${task.crashes} crashes`);
    if (task.status === "SKIPPED" && dependencies.every((status) => status === "COMPLETED")) {
      found.push(`${plan.id}: skipped for nothing`);
    }
    if (task.status !== "SKIPPED" && !dependencies.every((status) => status === "COMPLETED")) {
      found.push(`${plan.id}: began before its dependencies completed`);
    }
  }
  const open = run.plan.tasks.filter(({ id }) => !isTerminal(run.status(id))).length;
  if (!isTerminal(run.state.status) && open !== run.state.openCount)
    found.push(`openCount ${run.state.openCount}, open ${open}`);
  if (!isTerminal(run.state.status) && open === 0) found.push("all tasks ended and the execution did not");
  return found;
}

test("order is held, attempts are bounded, and every execution ends once", (t) => {
  fc.assert(
    fc.property(graphs, moves, (tasks, list) => {
      const run = new CoreExecution(planOf(tasks));
      for (const move of list) {
        const ended = run.state.finishedAtMs;
        play(run, move);
        if (ended !== undefined && run.state.finishedAtMs !== ended) return false;
        if (violations(run).length > 0) throw new Error(violations(run).join("; "));
      }
      // Whatever happened so far, succeeding from here ends it.
      for (let left = tasks.length * 4; left > 0 && !isTerminal(run.state.status); left--) {
        play(run, { pick: 0, kind: "success" });
      }
      return isTerminal(run.state.status) && run.state.openCount === 0;
    }),
    { numRuns: 300 },
  );
  t.pass();
});

/** The same execution, as a replica that has only its rows makes it. */
function restoredFrom(original: CoreExecution): CoreExecution {
  const restored = new CoreExecution(original.plan);
  const { outputs } = original;
  const rows = original.state.tasks.flatMap((task, index): StoredTask[] =>
    task === undefined ? [] : [{ ...task, index, output: undefined, hasOutput: outputs.has(index) }],
  );
  Object.assign(restored, { nowMs: original.nowMs, state: newState(original.state.facts) });
  refreshState(restored.state, original.state, rows);
  for (const index of outputsToRead(restored.state, rows)) {
    keepOutput(restored.state, index, outputs.get(index));
    restored.outputs.set(index, outputs.get(index)!);
  }
  return restored;
}

test("a state restored from rows after any step goes on as the original does", (t) => {
  fc.assert(
    fc.property(graphs, moves, fc.nat(200), (tasks, list, cut) => {
      const plan = planOf(tasks);
      const original = new CoreExecution(plan);
      const played = list.slice(0, cut);
      for (const move of played) play(original, move);
      const restored = restoredFrom(original);
      const kept = (run: CoreExecution) => run.state.tasks.map((task) => task?.output);
      // Of an execution that has ended nothing is read any more.
      if (!isTerminal(original.state.status)) {
        t.deepEqual(kept(restored), kept(original));
        t.is(restored.state.keptBytes, original.state.keptBytes);
      }
      for (const move of list.slice(cut)) {
        play(original, move);
        play(restored, move);
      }
      t.deepEqual(restored.output(), original.output());
      t.deepEqual(restored.statuses(), original.statuses());
      t.is(restored.state.status, original.state.status);
      t.deepEqual(restored.state.unresolved, original.state.unresolved);
      t.is(restored.state.openCount, original.state.openCount);
    }),
    { numRuns: 150 },
  );
});

test("what one transaction has no room for is opened by the next, and the result is the same", (t) => {
  fc.assert(
    fc.property(graphs, moves, fc.integer({ min: 1, max: 40 }), (tasks, list, budgetBytes) => {
      const plan = planOf(tasks);
      const roomy = new CoreExecution(plan, { n: 1 });
      const narrow = new CoreExecution(plan, { n: 1 }, undefined, budgetBytes);
      const openAll = (): void => {
        for (let left = tasks.length; left > 0 && narrow.state.opensLater; left--) {
          t.deepEqual(tasksToOpen(restoredFrom(narrow).state), tasksToOpen(narrow.state));
          narrow.executionDue(0, []);
          t.true(bytesBeforeLast(narrow) < budgetBytes);
        }
        t.false(narrow.state.opensLater);
      };
      openAll();
      for (const move of list) {
        play(roomy, move);
        play(narrow, move);
        openAll();
        t.deepEqual(narrow.statuses(), roomy.statuses());
        t.is(narrow.state.status, roomy.state.status);
      }
    }),
    { numRuns: 150 },
  );
});

/** Bytes of the inputs that a draft opened before it opened its last task, which may overdraw the budget. */
function bytesBeforeLast({ draft }: CoreExecution): number {
  const sizes = [...draft.touched.values()].flatMap(({ input }) => (input ? [input.data.length] : []));
  return sizes.slice(0, -1).reduce((sum, bytes) => sum + bytes, 0);
}

test("the result is the same whatever the batching", (t) => {
  fc.assert(
    fc.property(
      graphs,
      fc.array(fc.nat(1_000), { maxLength: 60 }),
      fc.array(fc.boolean(), { maxLength: 60 }),
      (tasks, picks, splits) => {
        const plan = planOf(tasks);
        const alone = new CoreExecution(plan);
        const batched = new CoreExecution(plan);
        picks.forEach((pick, step) => {
          const out = plan.tasks.filter(({ id }) => alone.status(id) === "READY");
          const task = out[pick % Math.max(1, out.length)];
          if (task === undefined) return;
          const outcome: Outcome = { kind: "success", output: undefined };
          const command = { kind: "report", index: task.index, outcome, random: 0.5 } as const;
          alone.apply(command);
          batched.apply(command, { sameDraft: splits[step] === true });
        });
        t.deepEqual(batched.statuses(), alone.statuses());
        t.is(batched.state.status, alone.state.status);
      },
    ),
    { numRuns: 150 },
  );
});
