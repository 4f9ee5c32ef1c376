import test from "ava";
import * as fc from "fast-check";
import { compilePlan } from "../../server/core/compile-plan.js";
import { decodeSpec, encodeSpec } from "../../server/core/encode-spec.js";
import { DEFAULT_LIMITS, type Limits } from "../../server/core/limits.js";
import { jsonPayload } from "../../server/core/payload.js";
import type { Plan } from "../../server/core/plan.js";
import { versionOf } from "../../server/core/version.js";
import type { WorkflowProblem } from "../../server/core/workflow-problem.js";
import type { TaskSpec, WorkflowSpec } from "../../server/core/workflow-spec.js";

function planOf(spec: WorkflowSpec, limits: Limits = DEFAULT_LIMITS): Plan {
  const compiled = compilePlan(spec, limits);
  if ("problems" in compiled) throw new Error(JSON.stringify(compiled.problems.slice(0, 5)));
  return compiled.plan;
}

function problemsOf(spec: WorkflowSpec, limits: Limits = DEFAULT_LIMITS): readonly WorkflowProblem[] {
  const compiled = compilePlan(spec, limits);
  return "problems" in compiled ? compiled.problems : [];
}

function shape(problems: readonly WorkflowProblem[]): readonly string[] {
  return problems.map(({ path, reason }) => `${path} ${reason}`);
}

function withTasks(...tasks: readonly TaskSpec[]): WorkflowSpec {
  return { name: "w", tasks };
}

function reading(id: string, expression: string, dependsOn: readonly string[] = []): TaskSpec {
  return { id, dependsOn, input: { kind: "expression", expression } };
}

test("defaults are those of the contract", (t) => {
  const plan = planOf(withTasks({ id: "a" }));
  t.like(plan.tasks[0], { index: 0, id: "a", handler: "a", queue: "default", priority: 0, timeouts: {} });
  t.deepEqual(plan.tasks[0]?.retry, {
    maxAttempts: 3,
    initialIntervalMs: 1_000,
    backoff: "EXPONENTIAL",
    factor: 2,
    maxIntervalMs: 60_000,
    jitter: 0.25,
    nonRetryableErrorTypes: new Set<string>(),
    maxCrashes: 3,
  });
  t.deepEqual(plan.labels, {});
  t.is(plan.version, versionOf(withTasks({ id: "a" })));
  const set = planOf(
    withTasks({ id: "a", retry: { maxAttempts: 1, jitter: 0 }, priority: 5, queue: "q", handler: "h" }),
  );
  t.like(set.tasks[0], { handler: "h", queue: "q", priority: 5 });
  t.like(set.tasks[0]?.retry, { maxAttempts: 1, jitter: 0, factor: 2 });
});

test("edges, roots, leaves and readers", (t) => {
  const plan = planOf({
    name: "w",
    tasks: [
      { id: "d", dependsOn: ["c", "b"] },
      { id: "a" },
      { id: "b", dependsOn: ["a"], input: { kind: "literal", payload: jsonPayload(1) } },
      reading("c", "input.x + tasks.a.output.y", ["a"]),
      {
        id: "e",
        dependsOn: ["b"],
        input: { kind: "fields", fields: { z: "tasks.a.output", y: "tasks.b.output" } },
      },
    ],
  });
  const [d, a, b, c, e] = plan.tasks;
  t.deepEqual(plan.roots, [1]);
  t.deepEqual(plan.leaves, [0, 4]);
  t.deepEqual([...plan.indexOf], [["d", 0], ["a", 1], ["b", 2], ["c", 3], ["e", 4]]); // prettier-ignore
  t.deepEqual([d?.dependsOn, b?.dependsOn, e?.dependsOn], [[3, 2], [1], [2]]);
  t.deepEqual([a?.successors, b?.successors, c?.successors], [[2, 3], [0, 4], [0]]);
  t.deepEqual([d?.reads, b?.reads, c?.reads, e?.reads], [[3, 2], [], [1], [2, 1]]);
  t.deepEqual([a?.readers, b?.readers, c?.readers, d?.readers], [[3, 4], [0, 4], [0], []]);
  t.deepEqual(
    plan.tasks.map((task) => task.readByOutput),
    [true, false, false, false, true],
  );
  t.true(plan.sizeBytes > 1_000);
});

test("the workflow output may read any task, and then only what it reads is kept for it", (t) => {
  const plan = planOf({
    ...withTasks({ id: "a" }, { id: "b", dependsOn: ["a"] }),
    output: "tasks.a.output.x",
  });
  t.deepEqual(
    plan.tasks.map((task) => task.readByOutput),
    [true, false],
  );
  t.deepEqual(plan.output?.taskIds, ["a"]);
});

test("all problems at once, each with its place", (t) => {
  const problems = problemsOf({
    name: "bad name",
    description: "\0",
    inputSchema: '{"type": "objec"}',
    deadlineMs: 0,
    labels: { ok: "x".repeat(300) },
    output: "tasks.nope.output",
    tasks: [
      { id: "charge" },
      { id: "charge" },
      { id: "1x", handler: "a b", queue: "", priority: 101, description: "x".repeat(10_001) },
      { id: "ship", dependsOn: ["charg", "ship", "charge", "charge"] },
      {
        id: "r",
        retry: {
          maxAttempts: 0,
          maxCrashes: 101,
          factor: NaN,
          jitter: 1.1,
          initialIntervalMs: -1,
          maxIntervalMs: 0.5,
        },
        timeouts: { queueMs: 0, attemptMs: Infinity, heartbeatMs: -1, totalMs: 1e15 },
      },
      { id: "s", retry: { initialIntervalMs: 120_000, nonRetryableErrorTypes: ["", "\0"] } },
      reading("t", "1 +"),
      reading("u", " "),
      reading("v", "x".repeat(5_000)),
      reading("x", "tasks.charge.output"),
      {
        id: "y",
        dependsOn: ["charge"],
        input: { kind: "fields", fields: { "\0": "tasks.y.output", b: "input.matches('a')" } },
      },
      { id: "z", input: { kind: "literal", payload: { data: Buffer.from("{"), encoding: "json" } } },
      { id: "aa", input: { kind: "literal", payload: { data: Buffer.from("{"), encoding: "JSON" } } },
    ],
  });
  t.deepEqual(
    [...shape(problems)].sort(),
    [
      "description INVALID_TEXT",
      "deadline OUT_OF_RANGE",
      "input_schema INVALID_SCHEMA",
      'labels["ok"] INVALID_TEXT',
      "name INVALID_NAME",
      "output EXPRESSION_UNKNOWN_NAME",
      "tasks[1].id DUPLICATE_TASK",
      "tasks[2].description TOO_LONG",
      "tasks[2].handler INVALID_NAME",
      "tasks[2].id INVALID_NAME",
      "tasks[2].priority OUT_OF_RANGE",
      "tasks[2].queue INVALID_NAME",
      "tasks[3].depends_on[0] UNKNOWN_DEPENDENCY",
      "tasks[3].depends_on[1] SELF_DEPENDENCY",
      "tasks[3].depends_on[3] DUPLICATE_DEPENDENCY",
      "tasks[4].retry.factor OUT_OF_RANGE",
      "tasks[4].retry.initial_interval OUT_OF_RANGE",
      "tasks[4].retry.jitter OUT_OF_RANGE",
      "tasks[4].retry.max_attempts OUT_OF_RANGE",
      "tasks[4].retry.max_crashes OUT_OF_RANGE",
      "tasks[4].retry.max_interval OUT_OF_RANGE",
      "tasks[4].timeouts.attempt OUT_OF_RANGE",
      "tasks[4].timeouts.heartbeat OUT_OF_RANGE",
      "tasks[4].timeouts.queue OUT_OF_RANGE",
      "tasks[4].timeouts.total OUT_OF_RANGE",
      "tasks[5].retry.initial_interval OUT_OF_RANGE",
      "tasks[5].retry.non_retryable_error_types[0] EMPTY",
      "tasks[5].retry.non_retryable_error_types[1] INVALID_TEXT",
      "tasks[6].input.expression EXPRESSION_SYNTAX",
      "tasks[7].input.expression EMPTY",
      "tasks[8].input.expression EXPRESSION_TOO_COMPLEX",
      "tasks[9].input NOT_A_DEPENDENCY",
      "tasks[10].input NOT_A_DEPENDENCY",
      'tasks[10].input.fields["\\u0000"] INVALID_TEXT',
      'tasks[10].input.fields["b"] EXPRESSION_UNKNOWN_NAME',
      "tasks[11].input.literal INVALID_PAYLOAD",
      "tasks[12].input.literal INVALID_PAYLOAD",
    ].sort(),
  );
  const message = (path: string): string => problems.find((problem) => problem.path === path)?.message ?? "";
  t.regex(message("tasks[3].depends_on[0]"), /no task "charg".*Did you mean "charge"/);
  t.regex(message("tasks[4].retry.jitter"), /jitter is 1.1; it must be a number from 0 to 1/);
  t.regex(message("tasks[2].priority"), /101.*whole number from -100 to 100/);
  t.regex(message("tasks[5].retry.initial_interval"), /120000 ms.*60000 ms; raise max_interval/);
  t.regex(message("tasks[1].id"), /already the id of tasks\[0\]/);
  t.regex(message("tasks[9].input"), /add "charge" to depends_on/);
  t.regex(message("tasks[10].input"), /its own output/);
});

test("unknown values of options are problems", (t) => {
  const retry = { backoff: "CUBIC" as "FIXED" };
  t.deepEqual(shape(problemsOf(withTasks({ id: "a", retry }))), ["tasks[0].retry.backoff UNKNOWN_VALUE"]);
});

test("a cycle is shown, each that shares no task with another", (t) => {
  const problems = problemsOf(
    withTasks(
      { id: "a", dependsOn: ["x", "c"] },
      { id: "b", dependsOn: ["a"] },
      { id: "c", dependsOn: ["b"] },
      { id: "x" },
      { id: "p", dependsOn: ["q"] },
      { id: "q", dependsOn: ["p"] },
      { id: "after", dependsOn: ["c", "q"] },
    ),
  );
  t.deepEqual(shape(problems), ["tasks[0].depends_on[1] CYCLE", "tasks[4].depends_on[0] CYCLE"]);
  t.regex(problems[0]?.message ?? "", /a → c → b → a/);
  t.regex(problems[1]?.message ?? "", /p → q → p/);
});

test("expressions read ancestors, near and far", (t) => {
  const spec = withTasks(
    { id: "a" },
    { id: "b", dependsOn: ["a"] },
    { id: "side", dependsOn: ["a"] },
    reading("c", "[tasks.a.output, tasks.b.output]", ["b"]),
    reading("d", "tasks.side.output", ["c"]),
    reading("e", "tasks.later.output", ["c"]),
    { id: "later", dependsOn: ["e"] },
  );
  t.deepEqual(shape(problemsOf(spec)), [
    "tasks[4].input NOT_A_DEPENDENCY",
    "tasks[5].input NOT_A_DEPENDENCY",
  ]);
});

test("limits are refused with their number", (t) => {
  const many = withTasks(...Array.from({ length: 5 }, (_, i) => ({ id: `t${i}` })));
  const fields = Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`f${i}`, "1"]));
  const cases: ReadonlyArray<readonly [WorkflowSpec, Partial<Limits>, string]> = [
    [{ name: "w", tasks: [] }, {}, "tasks EMPTY"],
    [many, { tasksPerWorkflow: 4 }, "tasks TOO_MANY_TASKS"],
    [
      withTasks({ id: "a" }, { id: "b" }, { id: "c", dependsOn: ["a", "b"] }),
      { dependenciesPerTask: 1 },
      "tasks[2].depends_on TOO_MANY_DEPENDENCIES",
    ],
    [many, { specBytes: 50 }, " TOO_LONG"],
    [{ ...many, labels: { a: "", b: "" } }, { labels: 1 }, "labels TOO_MANY_LABELS"],
    [{ ...many, inputSchema: "true" }, { inputSchemaChars: 3 }, "input_schema TOO_LONG"],
    [
      withTasks({ id: "a", input: { kind: "fields", fields } }),
      { inputFields: 2 },
      "tasks[0].input.fields TOO_MANY_VALUES",
    ],
    [
      withTasks({ id: "a", input: { kind: "literal", payload: jsonPayload("abc") } }),
      { payloadBytes: 4 },
      "tasks[0].input.literal TOO_LONG",
    ],
    [withTasks({ id: "a\ud800" }), {}, "tasks[0].id INVALID_NAME"],
    [withTasks({ id: "a", annotations: { k: "\ud800" } }), {}, 'tasks[0].annotations["k"] INVALID_TEXT'],
    [withTasks({ id: "a", annotations: { "": "v" } }), {}, 'tasks[0].annotations[""] EMPTY'],
    [{ ...withTasks({ id: "a" }), output: '"\0"' }, {}, "output INVALID_TEXT"],
  ];
  for (const [spec, limits, expected] of cases) {
    t.deepEqual(shape(problemsOf(spec, { ...DEFAULT_LIMITS, ...limits })), [expected]);
  }
});

test("endless problems are cut with a word", (t) => {
  const dependsOn = Array.from({ length: 5_000 }, (_, i) => `missing-${i}`);
  const problems = problemsOf(withTasks({ id: "a", dependsOn }));
  t.is(problems.length, 1_001);
  t.like(problems.at(-1), { reason: "TOO_MANY_PROBLEMS" });
  t.regex(problems.at(-1)?.message ?? "", /4000 more/);
});

test("ids that are names of the host's objects are only names", (t) => {
  const plan = planOf(
    withTasks({ id: "constructor" }, reading("toString", "tasks.constructor.output", ["constructor"])),
  );
  t.deepEqual(plan.tasks[1]?.reads, [0]);
});

test("a plan from stored bytes is the same plan", (t) => {
  const spec = withTasks(
    { id: "a" },
    { id: "b", dependsOn: ["a"], input: { kind: "fields", fields: { z: "1", a: "2" } } },
  );
  const first = planOf(spec);
  const again = planOf(decodeSpec(encodeSpec(spec)));
  t.is(again.version, first.version);
  const fieldNames = [first, again].map(({ tasks }) => {
    const input = tasks[1]?.input;
    return input?.kind === "fields" ? input.fields.map(([name]) => name) : [];
  });
  t.deepEqual(fieldNames, [["a", "z"], ["a", "z"]]); // prettier-ignore
});

/** Whether a graph has no cycle, the slow and obvious way: take away tasks without dependencies. */
function isAcyclic(edges: ReadonlyArray<ReadonlySet<number>>): boolean {
  const left = new Map(edges.map((targets, index) => [index, new Set(targets)]));
  for (;;) {
    const free = [...left].filter(([, targets]) => targets.size === 0).map(([index]) => index);
    if (free.length === 0) return left.size === 0;
    for (const index of free) left.delete(index);
    for (const targets of left.values()) for (const index of free) targets.delete(index);
  }
}

test("exactly the graphs without a cycle compile", (t) => {
  const graphs = fc
    .integer({ min: 1, max: 12 })
    .chain((size) =>
      fc.array(fc.uniqueArray(fc.nat(size - 1), { maxLength: 3 }), { minLength: size, maxLength: size }),
    );
  let cyclic = 0;
  fc.assert(
    fc.property(graphs, (graph) => {
      const edges = graph.map((targets, index) => new Set(targets.filter((target) => target !== index)));
      const spec = withTasks(
        ...edges.map((targets, index) => ({ id: `t${index}`, dependsOn: [...targets].map((i) => `t${i}`) })),
      );
      const problems = problemsOf(spec);
      const expected = isAcyclic(edges);
      if (!expected) cyclic++;
      t.is(problems.length === 0, expected);
      t.true(problems.every(({ reason }) => reason === "CYCLE"));
    }),
    { numRuns: 500 },
  );
  t.true(cyclic > 20);
});

test("exactly the tasks that come before can be read", (t) => {
  const graphs = fc.array(fc.uniqueArray(fc.nat(40), { maxLength: 3 }), { minLength: 2, maxLength: 80 });
  fc.assert(
    fc.property(graphs, fc.nat(79), (graph, seed) => {
      const edges = graph.map((targets, index) => [...new Set(targets.filter((target) => target < index))]);
      const ancestors: Array<Set<number>> = [];
      edges.forEach((targets) => {
        const all = new Set(targets);
        for (const target of targets) for (const above of ancestors[target] ?? []) all.add(above);
        ancestors.push(all);
      });
      const read = edges.map((_, index) => (index * 7 + seed) % edges.length);
      const tasks = edges.map((targets, index) =>
        reading(
          `t${index}`,
          `tasks.t${read[index]}.output`,
          targets.map((i) => `t${i}`),
        ),
      );
      const refused = edges.flatMap((_, index) =>
        ancestors[index]?.has(read[index]!) ? [] : [`tasks[${index}].input`],
      );
      t.deepEqual(
        problemsOf(withTasks(...tasks))
          .map(({ path }) => path)
          .sort(),
        refused.sort(),
      );
    }),
  );
});

function timed<T>(body: () => T): readonly [T, number] {
  const begin = process.hrtime.bigint();
  const result = body();
  return [result, Number(process.hrtime.bigint() - begin) / 1e6];
}

test("large graphs compile in linear time", (t) => {
  const count = 10_000;
  const layered = Array.from({ length: count }, (_, i) => {
    const dependsOn = Array.from({ length: Math.min(i, 10) }, (_, back) => `t${i - 1 - back}`);
    return { id: `t${i}`, dependsOn };
  });
  const chain = Array.from({ length: count }, (_, i) => ({
    id: `t${i}`,
    dependsOn: i === 0 ? [] : [`t${i - 1}`],
  }));
  const ring = chain.map((task, i) => (i === 0 ? { id: "t0", dependsOn: [`t${count - 1}`] } : task));
  const fanIn = [
    ...Array.from({ length: count - 1 }, (_, i) => ({ id: `t${i}` })),
    { id: "end", dependsOn: Array.from({ length: count - 1 }, (_, i) => `t${i}`) },
  ];
  const farReads = layered.map((task, i) =>
    i < 100 ? task : reading(task.id, `tasks.t${i - 100}.output`, task.dependsOn),
  );
  const cases: ReadonlyArray<readonly [string, readonly TaskSpec[], boolean]> = [
    ["100,000 edges", layered, true],
    ["chain", chain, true],
    ["ring", ring, false],
    ["fan-in", fanIn, true],
    ["10,000 far reads", farReads, true],
  ];
  for (const [name, tasks, isGood] of cases) {
    const [problems, tookMs] = timed(() => problemsOf(withTasks(...tasks)));
    t.log(`${name}: ${tookMs.toFixed(0)} ms`);
    t.is(problems.length === 0, isGood, name);
    t.true(tookMs < 3_000, `${name}: ${tookMs} ms`);
  }
  t.regex(problemsOf(withTasks(...ring))[0]?.message ?? "", /t0 → t9999 → .* 10000 tasks in all … → t0/);
});
