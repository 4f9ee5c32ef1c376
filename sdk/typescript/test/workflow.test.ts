import { toJson } from "@bufbuild/protobuf";
import { Environment } from "@marcbachmann/cel-js";
import test from "ava";
import fc from "fast-check";

import { celOf, celSelect } from "../src/cel.js";
import { decodePayload } from "../src/codec.js";
import { TaskSpecSchema } from "../src/gen/headrace/v1/workflow_pb.js";
import type { Ref } from "../src/index.js";
import { external, HeadraceError, task, workflow } from "../src/index.js";

interface Order {
  readonly amount: number;
  readonly items: ReadonlyArray<{ readonly sku: string }>;
  readonly note?: string;
  readonly "odd key": number;
}

const charge = task("charge", (order: { amount: number }) => ({ id: `ch_${order.amount}`, tags: ["a"] }));
const email = task("email", async (to: { id: string }) => Promise.resolve(`sent ${to.id}`));
const anything = task("anything", (value: unknown) => value);
const tick = task("tick", () => 1);

function nodes(of: { spec: { tasks: readonly never[] } } | ReturnType<typeof workflow>): unknown[] {
  return of.spec.tasks.map((node) => toJson(TaskSpecSchema, node));
}

test("calls become nodes, refs dependencies, the returned ref the output", (t) => {
  const order = workflow("order", (o: Ref<{ amount: number }>) => email(charge(o)));
  t.is(order.name, "order");
  t.deepEqual(nodes(order), [
    { id: "charge", input: { expression: "input" } },
    { id: "email", dependsOn: ["charge"], input: { expression: "tasks.charge.output" } },
  ]);
  t.is(order.spec.output, "tasks.email.output");
  t.deepEqual(
    order.tasks.map(({ name }) => name),
    ["charge", "email"],
  );
});

test("repeated tasks get -2, -3 and keep their handler", (t) => {
  const many = workflow("many", (o: Ref<{ amount: number }>) => [charge(o), charge(o), charge(o)]);
  t.deepEqual(
    many.spec.tasks.map(({ id, handler }) => [id, handler]),
    [
      ["charge", ""],
      ["charge-2", "charge"],
      ["charge-3", "charge"],
    ],
  );
  t.is(many.spec.output, '[tasks.charge.output, tasks["charge-2"].output, tasks["charge-3"].output]');
  t.is(many.tasks.length, 1);
});

test("an id that was chosen is skipped by those that are derived", (t) => {
  const taken = workflow("taken", (o: Ref<{ amount: number }>) => {
    charge.with({ id: "charge-2" })(o);
    charge(o);
    charge(o);
  });
  t.deepEqual(
    taken.spec.tasks.map(({ id }) => id),
    ["charge-2", "charge", "charge-3"],
  );
  t.throws(() => workflow("twice", () => [tick.with({ id: "a" })(), tick.with({ id: "a" })()]), {
    message: /two tasks have the id "a"/,
  });
});

test("names that cannot be ids are cleaned", (t) => {
  const odd = workflow("odd", () => [
    external<undefined, 1>("billing.charge/v2")(),
    external<undefined, 1>("9")(),
  ]);
  t.deepEqual(
    odd.spec.tasks.map(({ id, handler }) => [id, handler]),
    [
      ["billing-charge-v2", "billing.charge/v2"],
      ["task-9", "9"],
    ],
  );
});

test("refs of fields and elements become CEL, and depend on their task once", (t) => {
  const flow = workflow("flow", (o: Ref<Order>) => {
    const paid = charge({ amount: o.amount });
    anything({ id: paid.id, tag: paid.tags[0], sku: o.items[2]!.sku, odd: o["odd key"], note: o.note });
  });
  t.deepEqual(nodes(flow), [
    { id: "charge", input: { fields: { fields: { amount: "input.amount" } } } },
    {
      id: "anything",
      dependsOn: ["charge"],
      input: {
        fields: {
          fields: {
            id: "tasks.charge.output.id",
            tag: "tasks.charge.output.tags[0]",
            sku: "input.items[2].sku",
            odd: 'input["odd key"]',
            note: "input.note",
          },
        },
      },
    },
  ]);
  t.is(flow.spec.output, "");
});

test("constants beside refs become literals, a list an expression, a constant input a payload", (t) => {
  const flow = workflow("flow", (o: Ref<{ a: number }>) => {
    anything({ ref: o.a, deep: { list: [1, 2.5, true, null, 'q"\n', o.a], skip: undefined }, "k-1": "x" });
    anything([o.a, new Date(0)]);
    anything({ amount: 5, at: new Date(0) });
    tick();
  });
  const [mixed, list, constant, none] = flow.spec.tasks.map((node) => node.input?.source);
  t.deepEqual(mixed?.case === "fields" ? { ...mixed.value.fields } : undefined, {
    ref: "input.a",
    deep: '{"list": [1, 2.5, true, null, "q\\"\\n", input.a]}',
    "k-1": '"x"',
  });
  t.is(list?.value, '[input.a, "1970-01-01T00:00:00.000Z"]');
  t.deepEqual(constant?.case === "literal" ? decodePayload(constant.value) : undefined, {
    amount: 5,
    at: "1970-01-01T00:00:00.000Z",
  });
  t.is(none?.case === "literal" ? decodePayload(none.value) : undefined, null);
});

test("a task that returns nothing has the output null, for the type checker too", (t) => {
  const silent = task("silent", async () => Promise.resolve());
  const maybe = task("maybe", (n: number) => (n > 0 ? { id: "a" } : undefined));
  const takesNull = task("takesNull", (value: null) => value);
  const takesEither = task("takesEither", (value: { id: string } | null) => value?.id);
  const flow = workflow("flow", (n: Ref<number>) => {
    takesNull(silent());
    takesEither(maybe(n));
    // @ts-expect-error What returns nothing is no order.
    charge(silent());
    return silent();
  });
  t.is(flow.spec.output, 'tasks["silent-3"].output', "a plain copy");
  const output: (typeof flow)["types"] = { input: 1, output: null };
  t.is(output.output, null);
});

test("`after` orders without using the output", (t) => {
  const flow = workflow("flow", (o: Ref<{ amount: number }>) => {
    const first = charge(o);
    const second = tick.with({ after: [first, first] })();
    email.with({ id: "mail", after: [second], priority: 3 })(first);
  });
  t.deepEqual(
    flow.spec.tasks.map(({ id, dependsOn }) => [id, dependsOn]),
    [
      ["charge", []],
      ["tick", ["charge"]],
      ["mail", ["charge", "tick"]],
    ],
  );
  t.is(flow.spec.tasks[2]?.priority, 3);
  t.throws(() => workflow("bad", (o: Ref<{ a: 1 }>) => tick.with({ after: [o] })()), {
    message: /holds the input.*refs of tasks/,
  });
});

test("options of a task and of one use of it merge into its node", (t) => {
  const slow = task("slow", () => 1, {
    queue: "gpu",
    retry: {
      maxAttempts: 5,
      initialInterval: "2s",
      backoff: "LINEAR",
      factor: 3,
      maxInterval: "1m",
      jitter: 0,
      nonRetryableErrorTypes: ["CardDeclined"],
      maxCrashes: 2,
    },
    timeouts: { queue: "1h", attempt: "30s", total: 90_000 },
    description: "slow one",
  });
  const flow = workflow("flow", () => {
    slow.with({ retry: { maxAttempts: 1 }, timeouts: { heartbeat: "5s" }, queue: "cpu" })();
    slow();
  });
  const [used, plain] = nodes(flow) as Array<Record<string, Record<string, unknown>>>;
  t.like(used, { queue: "cpu", description: "slow one" });
  t.deepEqual(used!.retry, {
    maxAttempts: 1,
    initialInterval: "2s",
    backoff: "BACKOFF_LINEAR",
    factor: 3,
    maxInterval: "60s",
    jitter: 0,
    nonRetryableErrorTypes: ["CardDeclined"],
    maxCrashes: 2,
  });
  t.deepEqual(used!.timeouts, { queue: "3600s", attempt: "30s", heartbeat: "5s", total: "90s" });
  t.like(plain, { queue: "gpu" });
  t.is(plain!.retry!.maxAttempts, 5);
});

test("options of a workflow, its JSON and its content key", (t) => {
  const define = (amount: number): ReturnType<typeof workflow> =>
    workflow("flow", () => charge({ amount }), {
      description: "d",
      inputSchema: { type: "object" },
      deadline: "1m",
      labels: { team: "a" },
    });
  const flow = define(1);
  t.like(JSON.parse(JSON.stringify(flow)), {
    name: "flow",
    description: "d",
    inputSchema: '{"type":"object"}',
    deadline: "60s",
    labels: { team: "a" },
    output: "tasks.charge.output",
  });
  t.is(flow.contentKey, define(1).contentKey);
  t.not(flow.contentKey, define(2).contentKey);
});

test("objects of refs are outputs, and so is the input", (t) => {
  const flow = workflow("flow", (o: Ref<{ amount: number }>) => ({
    paid: charge(o).id,
    again: [o.amount, 1],
  }));
  t.is(flow.spec.output, '{"paid": tasks.charge.output.id, "again": [input.amount, 1]}');
  t.is(workflow("echo", (o: Ref<number>) => o).spec.output, "input");
});

const misuses: ReadonlyArray<readonly [string, (ref: Ref<Order>) => unknown, RegExp]> = [
  [
    "template string",
    (ref) => `amount: ${ref.amount as unknown as string}`,
    /input\.amount was used as text or a number/,
  ],
  ["addition", (ref) => (ref.amount as unknown as number) + 1, /was used as text or a number/],
  ["comparison", (ref) => (ref.amount as unknown as number) > 1, /was used as text or a number/],
  ["spread", (ref) => ({ ...ref }), /input was spread or enumerated.*Name the fields/],
  ["iteration", (ref) => [...(ref.items as unknown as unknown[])], /input\.items was iterated/],
  ["a method", (ref) => (ref.items as unknown as unknown[]).map(() => 1), /input\.items\.map was called/],
  ["JSON", (ref) => JSON.stringify(ref), /was turned into JSON/],
  ["in", (ref) => "amount" in ref, /was used with `in`/],
  ["assignment", (ref) => ((ref as unknown as { amount: number }).amount = 1), /was assigned to/],
];

for (const [name, misuse, message] of misuses) {
  test(`a ref used like a value explains itself: ${name}`, (t) => {
    const error = t.throws(() => workflow("w", (o: Ref<Order>) => void misuse(o)), {
      instanceOf: HeadraceError,
    });
    t.is(error.reason, "INVALID_WORKFLOW");
    t.regex(error.message, message);
  });
}

test("an async definition, a nested one and a task outside are refused", (t) => {
  t.throws(() => workflow("w", async (o: Ref<Order>) => o), { message: /is async.*must return at once/ });
  t.throws(() => workflow("outer", () => workflow("inner", () => tick())), {
    message: /"inner".*inside.*"outer"/,
  });
  t.throws(() => charge({ amount: 1 }), { message: /"charge" was called outside of workflow/ });
  t.is(
    charge.handler?.({ amount: 1 }, undefined as never) instanceof Promise,
    false,
    "the function itself is there",
  );
});

test("a ref of another workflow is refused", (t) => {
  let leaked: Ref<{ amount: number }> | undefined;
  workflow("first", (o: Ref<{ amount: number }>) => {
    leaked = o;
  });
  t.throws(() => workflow("second", () => charge(leaked!)), { message: /of another workflow/ });
  t.throws(() => workflow("third", () => tick.with({ after: [leaked!] })()), {
    message: /of another workflow/,
  });
  t.throws(() => workflow("fourth", () => leaked!), { message: /of another workflow/ });
});

test("one name with two handlers is refused in a workflow", (t) => {
  const other = task("tick", () => 2);
  t.throws(() => workflow("w", () => [tick(), other()]), { message: /two tasks have the name "tick"/ });
});

test("wrong names, options and inputs are refused where they are written", (t) => {
  t.throws(() => task("", () => 1), { message: /cannot be the name of a task/ });
  t.throws(() => task("a b", () => 1), { message: /"a b"/ });
  t.throws(() => task("a", undefined as never), { message: /external\("a"\)/ });
  t.throws(() => task("a", () => 1, { retires: 1 } as never), { message: /no option "retires".*retry/ });
  t.throws(() => task("a", () => 1, { retry: { maxAttempt: 1 } as never }), { message: /"maxAttempt"/ });
  t.throws(() => task("a", () => 1, { retry: { backoff: "SLOW" as never } }), { message: /"SLOW"/ });
  t.throws(() => task("a", () => 1, { timeouts: { attempt: "soon" } }), { message: /timeouts\.attempt/ });
  t.throws(() => tick.with({ after: [], name: "x" } as never), { message: /"name"/ });
  t.throws(() => workflow("a b", () => 1), {
    message: /"a b" cannot be the name of a workflow.*Use 1 to 200/,
  });
  t.throws(() => workflow("w", 5 as never), { message: /"w" is 5, not a function/ });
  t.throws(() => workflow("w", () => 1, { labels: { a: 5 as never } }), { message: /labels\["a"\] is 5/ });
  t.throws(() => workflow("w", () => 1, { deadlin: 1 } as never), { message: /"deadlin"/ });
  t.throws(() => workflow("w", () => anything({ f: new Map() })), { message: /anything\.input\.f is a Map/ });
  t.throws(() => workflow("w", (o: Ref<Order>) => anything({ o, f: () => 1 })), {
    message: /input\.f is a function/,
  });
  const cyclic: { self?: unknown; ref?: unknown } = {};
  cyclic.self = cyclic;
  t.throws(
    () =>
      workflow("w", (o: Ref<Order>) => {
        cyclic.ref = o;
        anything(cyclic);
      }),
    { message: /nested too deeply or contains itself/ },
  );
});

const cel = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false });

/** CEL has integers of 64 bits, JSON has numbers. */
function asJson(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? Number(part) : part)),
  );
}

test("the CEL of a constant is that constant to a CEL parser", (t) => {
  fc.assert(
    fc.property(fc.jsonValue({ depthSize: "medium" }), (value) => {
      // This parser leaves out fields with these names.
      fc.pre(!/"(?:__proto__|prototype|constructor)":/.test(JSON.stringify(value)));
      const source = celOf(value, "value", () => undefined);
      t.deepEqual(asJson(cel.evaluate(source, {})), JSON.parse(JSON.stringify(value)));
    }),
    { numRuns: 500 },
  );
  for (const number of [1e21, 2 ** 53, -(2 ** 63), 1e-7, 1.7976931348623157e308, -0]) {
    t.deepEqual(
      asJson(
        cel.evaluate(
          celOf(number, "n", () => undefined),
          {},
        ),
      ),
      JSON.parse(JSON.stringify(number)),
    );
  }
  t.throws(() => celOf("\ud800", "value", () => undefined), { message: /not well-formed Unicode/ });
});

test("any field of any name can be selected", (t) => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer(), (key, value) => {
      // A name of digits is an index of a list.
      fc.pre(!/^\d+$/.test(key) && key !== "__proto__");
      t.is(Number(cel.evaluate(celSelect("input", key), { input: new Map([[key, value]]) })), value);
    }),
    { numRuns: 500 },
  );
  t.is(celSelect("input", "in"), 'input["in"]');
  t.is(celSelect("input", "7"), "input[7]");
  t.is(celSelect("input", "07"), 'input["07"]');
});
