import test from "ava";
import { jsonPayload, parseJson } from "../../server/core/payload.js";
import type { TaskSpec } from "../../server/core/workflow-spec.js";
import type { Assignment } from "../../server/engine/api.js";
import { success } from "../support/scripted-worker.js";
import { brokenInvariants, rowsOf, useEngine, useReplicas } from "../support/test-engine.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;
const WIDTH = 120;

/** One task, then many that take what it gives, then one that waits for them. */
function fanOut(input: (n: number) => TaskSpec["input"]): TaskSpec[] {
  const parts = Array.from({ length: WIDTH }, (_, n): TaskSpec => {
    const mapping = input(n);
    return { id: `p${n}`, handler: "part", dependsOn: ["load"], ...(mapping && { input: mapping }) };
  });
  const literal = { kind: "literal", payload: jsonPayload(null) } as const;
  const join: TaskSpec = { id: "join", dependsOn: parts.map(({ id }) => id), input: literal };
  return [{ id: "load" }, ...parts, join];
}

const LARGE = { text: "x".repeat(MIB) };

/** What the parts were given, by the order of their ids. */
function inputsOf(assignments: readonly Assignment[]): unknown[] {
  const parts = assignments.filter(({ handler }) => handler === "part");
  const number = ({ attempt }: Assignment): number => Number(attempt.taskId.slice(1));
  return parts.toSorted((a, b) => number(a) - number(b)).map(({ input }) => parseJson(input));
}

test("a graph whose inputs fit no transaction opens over several", async (t) => {
  const mapping = (n: number) =>
    ({ kind: "fields", fields: { doc: "tasks.load.output", page: String(n) } }) as const;
  const replica = await useEngine(t, fanOut(mapping));
  const worker = await replica.worker({ handlers: ["load", "part", "join"], credit: 1_000 });
  worker.run(({ handler }) => success(handler === "load" ? LARGE : null));
  const started = await replica.start();
  t.is((await started.end(50_000)).status, "COMPLETED");
  t.deepEqual(
    inputsOf(worker.assignments),
    Array.from({ length: WIDTH }, (_, page) => ({ doc: LARGE, page })),
  );
  const [rows] = await rowsOf<{ commits: number }>(
    replica.database,
    "select count(distinct first_ready_at)::int as commits from tasks where handler = 'part'",
  );
  t.true(rows!.commits >= WIDTH / 17, `${rows!.commits} transactions`);
  t.deepEqual(await brokenInvariants(replica.database), []);
});

test("what one transaction left is opened by another replica when the first is gone", async (t) => {
  const { database, open } = await useReplicas(t);
  const first = await open();
  const mapping = (n: number) =>
    ({ kind: "fields", fields: { doc: "tasks.load.output", page: String(n) } }) as const;
  await first.put(fanOut(mapping));
  const loader = await first.worker({ handlers: ["load"] });
  const started = await first.start();
  const load = await loader.next();
  // It stops as soon as the first part of the graph is committed.
  await loader.report(load, success(LARGE));
  const last = await first.engine.executions.explain("default", started.executionId, `p${WIDTH - 1}`);
  t.like(last.reasons, [{ status: "PENDING", reason: "OPENING" }]);
  await first.stop();
  const opened = await rowsOf(database, "select from tasks where handler = 'part'");
  t.true(opened.length > 0 && opened.length < WIDTH, `${opened.length} parts are open`);
  const second = await open();
  const worker = await second.worker({ handlers: ["part", "join"], credit: 1_000 });
  worker.run(() => success());
  await until(
    "the end of the execution",
    async () => (await second.engine.executions.get("default", started.executionId)).status === "COMPLETED",
    50_000,
  );
  t.is(inputsOf(worker.assignments).length, WIDTH);
  t.deepEqual(await brokenInvariants(database), []);
});

test("a replica that takes over reads the outputs that are still to be read", async (t) => {
  const { database, open } = await useReplicas(t);
  const first = await open();
  await first.put([
    { id: "a" },
    { id: "b", dependsOn: ["a"] },
    { id: "c", dependsOn: ["b"], input: { kind: "fields", fields: { a: "tasks.a.output", n: "1" } } },
  ]);
  const started = await first.start();
  const worker = await first.worker({ handlers: ["a", "b"], credit: 2 });
  await worker.succeed(await worker.next(), LARGE);
  const b = await worker.received();
  await first.stop();
  const second = await open();
  const resumed = await worker.successor({ handlers: ["b", "c"], credit: 1 }).connect(second.engine);
  await resumed.succeed(b, { text: "y".repeat(MIB) });
  const c = await resumed.next();
  t.deepEqual(parseJson(c.input), { a: LARGE, n: 1 });
  await resumed.succeed(c, 3);
  const { status, output } = await second.engine.executions.get("default", started.executionId);
  t.is(status, "COMPLETED");
  t.deepEqual(parseJson(output!), { c: 3 });
  t.deepEqual(await brokenInvariants(database), []);
});

test("an input that tasks have in common is stored once", async (t) => {
  const replica = await useEngine(
    t,
    fanOut(() => undefined),
  );
  // The input of the workflow is merged with the output, so it is not just the same bytes.
  const started = await replica.start({ input: jsonPayload({ run: 7 }) });
  const worker = await replica.worker({ handlers: ["load", "part", "join"], credit: 10 });
  worker.run(({ handler }) => success(handler === "load" ? LARGE : null));
  t.is((await started.end(50_000)).status, "COMPLETED");
  t.deepEqual(
    inputsOf(worker.assignments),
    Array.from({ length: WIDTH }, () => ({ run: 7, ...LARGE })),
  );
  const sizes = "select count(*)::int as inputs, sum(length(input))::int as bytes from";
  t.like(await rowsOf(replica.database, `${sizes} shared_inputs`), [{ inputs: 1 }]);
  t.deepEqual(await rowsOf(replica.database, `${sizes} tasks where handler = 'part' and input is not null`), [
    { inputs: 0, bytes: null },
  ]);
  const { task } = await replica.engine.executions.getTask("default", started.executionId, "p7", -1);
  t.deepEqual(parseJson(task.input!), { run: 7, ...LARGE });
});

test("a worker is sent no more than it acknowledges, whatever its credit", async (t) => {
  const replica = await useEngine(
    t,
    fanOut(() => undefined),
  );
  const worker = await replica.worker({ handlers: ["load", "part"], credit: 1_000 });
  await replica.start();
  const load = await worker.received();
  worker.acknowledges = false;
  void worker.report(load, success(LARGE));
  await until("the window is full", () => worker.assignments.length >= 17);
  // That another worker gets the next ones shows that the backlog was looked at.
  const other = await replica.worker({ handlers: ["part"], credit: 3 });
  await other.take(3);
  const seen = worker.assignments.length;
  t.true(seen <= 18, `${seen} inputs of 1 MiB`);
  worker.acknowledges = true;
  worker.ping();
  await until("the rest is sent", () => worker.assignments.length === WIDTH + 1 - 3);
  t.true(worker.lowestCredit >= 0);
});
