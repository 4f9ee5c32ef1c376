import test from "ava";
import * as fc from "fast-check";
import { OpeningBudget } from "../../server/core/opening-budget.js";
import { compilePlan } from "../../server/core/compile-plan.js";
import { membersOf, objectText } from "../../server/core/json-members.js";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import { jsonPayload, NULL_PAYLOAD, parseJson, type Payload } from "../../server/core/payload.js";
import type { Plan, PlanTask } from "../../server/core/plan.js";
import {
  InputError,
  resolveInput,
  resolveOutput,
  type InputSource,
} from "../../server/core/resolve-input.js";
import type { InputMapping, WorkflowSpec } from "../../server/core/workflow-spec.js";

const decoder = new TextDecoder();

function text(json: string): Payload {
  return { data: Buffer.from(json), encoding: "json" };
}

function textOf(payload: Payload): string {
  return decoder.decode(payload.data);
}

function planOf(spec: Omit<WorkflowSpec, "name">): Plan {
  const compiled = compilePlan({ name: "w", ...spec }, DEFAULT_LIMITS);
  if ("problems" in compiled) throw new Error(JSON.stringify(compiled.problems));
  return compiled.plan;
}

interface Given {
  readonly input?: Payload;
  readonly outputs?: ReadonlyArray<Payload | undefined>;
  readonly payloadBytesMax?: number;
}

function sourceOf({ input = NULL_PAYLOAD, outputs = [], payloadBytesMax = 1_000_000 }: Given): InputSource {
  return {
    executionId: "0190",
    workflow: "w",
    createdAtMs: Date.UTC(2026, 0, 31),
    input,
    payloadBytesMax,
    budget: new OpeningBudget(Infinity, Infinity),
    outputOf: (index) => outputs[index],
  };
}

/** A task that comes after tasks a, b, c …, one for each output. */
function joining(count: number, input?: InputMapping): PlanTask {
  const ids = Array.from({ length: count }, (_, i) => String.fromCharCode(97 + i));
  const join = { id: "join", dependsOn: ids, ...(input && { input }) };
  return planOf({ tasks: [...ids.map((id) => ({ id })), join] }).tasks[count]!;
}

function contextText(input: string | undefined, ...outputs: ReadonlyArray<string | undefined>): string {
  const given = {
    input: input === undefined ? NULL_PAYLOAD : text(input),
    outputs: outputs.map((output) => (output === undefined ? undefined : text(output))),
  };
  return textOf(resolveInput(joining(outputs.length), sourceOf(given)));
}

function expression(source: string): InputMapping {
  return { kind: "expression", expression: source };
}

test("the context merges the workflow input with outputs in declared order", (t) => {
  const cases: ReadonlyArray<readonly [string, string | undefined, ReadonlyArray<string | undefined>]> = [
    ['{"a":1,"b":2,"c":3}', '{"a":0,"b":2}', ['{"a":1}', '{"c":3}']],
    ['{"a":{"y":2}}', '{"a":{"x":1}}', ['{"a":{"y":2}}']],
    ['{"a":1,"b":[2]}', undefined, ["1", "[2]"]],
    ['{"a":null}', undefined, ["null"]],
    ['{"b":2,"a":"x"}', '{"b":2}', ['"x"']],
    ['{"input":5,"b":1}', "5", [undefined, '{"b":1}']],
    ['{"input":[1]}', "[1]", [undefined]],
    ["{}", undefined, [undefined]],
    ["{}", "{ }", [undefined, undefined]],
    ['{"x":1}', undefined, [undefined, '{"x":1}']],
    ['{"x":1}', '{"x":1}', [undefined]],
    ['{"x":1}', "", ['{"x":1}', ""]],
    ['{"id":9007199254740993,"f":1.10,"b":1e400}', '{"id":9007199254740993}', ['{"f":1.10}', '{"b":1e400}']],
    ['{"__proto__":{"x":1},"b":1}', '{"__proto__":{"x":1}}', ['{"b":1}']],
    ['{"k":2,"l":1}', '{"k":1,"k":2}', ['{"l":1}']],
  ];
  for (const [expected, input, outputs] of cases) t.is(contextText(input, ...outputs), expected);
  t.is(({} as Record<string, unknown>)["x"], undefined);
});

test("nothing is parsed or copied where nothing is merged", (t) => {
  const raw = { data: Buffer.from("not json"), encoding: "raw" };
  const object = text(' {"spaced": 1}');
  const root = planOf({ tasks: [{ id: "a" }] }).tasks[0]!;
  t.is(resolveInput(root, sourceOf({ input: raw })), raw);
  for (const input of [NULL_PAYLOAD, text("{}"), text(" null\n"), text("")]) {
    t.is(resolveInput(joining(1), sourceOf({ input, outputs: [object] })), object);
    t.is(resolveInput(joining(2), sourceOf({ input, outputs: [undefined, raw] })), raw);
  }
  const literal = text("1");
  t.is(resolveInput(joining(1, { kind: "literal", payload: literal }), sourceOf({})).data, literal.data);
});

test("an expression that only names a payload hands on its bytes", (t) => {
  const raw = { data: Buffer.from([255]), encoding: "raw" };
  const long = text('{"id": 9007199254740993}');
  t.is(resolveInput(joining(1, expression("input")), sourceOf({ input: raw })), raw);
  t.is(resolveInput(joining(1, expression("tasks.a.output")), sourceOf({ outputs: [long] })), long);
});

test("mappings make inputs from expressions", (t) => {
  const given = { input: text('{"n":1}'), outputs: [text('{"x":[1,2]}')] };
  const whole = joining(1, expression("{'sum': input.n + tasks.a.output.x[1], 'at': execution.created_at}"));
  t.deepEqual(parseJson(resolveInput(whole, sourceOf(given))), { sum: 3, at: "2026-01-31T00:00:00.000Z" });
  const fields = joining(1, {
    kind: "fields",
    fields: { b: "input.n", a: "tasks.a.output.x.map(x, x * 2)" },
  });
  t.is(textOf(resolveInput(fields, sourceOf(given))), '{"a":[2,4],"b":1}');
  t.is(textOf(resolveInput(joining(1, { kind: "fields", fields: {} }), sourceOf(given))), "{}");
  const proto = joining(1, {
    kind: "fields",
    fields: JSON.parse('{"__proto__":"{\'x\': 1}"}') as Record<string, string>,
  });
  t.is(textOf(resolveInput(proto, sourceOf(given))), '{"__proto__":{"x":1}}');
});

test("outputs that an expression does not read are not asked for", (t) => {
  const asked: number[] = [];
  const source = { ...sourceOf({}), outputOf: (index: number) => (asked.push(index), text('{"x":1}')) };
  resolveInput(joining(3, expression("tasks.b.output.x")), source);
  t.deepEqual(asked, [1]);
});

test("what cannot be made says why", (t) => {
  const raw = { data: Buffer.from("x"), encoding: "msgpack" };
  const cases: ReadonlyArray<readonly [string, RegExp, PlanTask, Given]> = [
    [
      "PAYLOAD_NOT_JSON",
      /output of task "a" is encoded as "msgpack"/,
      joining(1),
      { input: text('{"a":1}'), outputs: [raw] },
    ],
    [
      "PAYLOAD_NOT_JSON",
      /output of task "b" is not valid JSON/,
      joining(2),
      { outputs: [text("1"), text("{x}")] },
    ],
    [
      "PAYLOAD_NOT_JSON",
      /workflow input is not valid JSON/,
      joining(1),
      { input: text("nope"), outputs: [text("1")] },
    ],
    [
      "PAYLOAD_NOT_JSON",
      /not valid JSON/,
      joining(1),
      { outputs: [{ data: Buffer.from([0x22, 0xff, 0x22]), encoding: "json" }] },
    ],
    [
      "PAYLOAD_NOT_JSON",
      /task "a" is not valid JSON/,
      joining(1, expression("[tasks.a.output]")),
      { outputs: [text("{")] },
    ],
    ["EXPRESSION_FAILED", /no field "x"/, joining(1, expression("input.x")), { input: text("{}") }],
    [
      "EXPRESSION_FAILED",
      /Field "f": .*no fields \(looking for "x"\)/,
      joining(1, { kind: "fields", fields: { f: "tasks.a.output.x" } }),
      {},
    ],
    [
      "EXPRESSION_FAILED",
      /stopped after 100000 steps/,
      joining(1, expression("input.map(a, input.map(b, 1))")),
      { input: jsonPayload(Array.from({ length: 1_000 }, () => 0)) },
    ],
    [
      "PAYLOAD_TOO_LARGE",
      /has 15 bytes.*limit of 10/,
      joining(2),
      { outputs: [text('{"a":1}'), text('{"bb":22}')], payloadBytesMax: 10 },
    ],
    [
      "PAYLOAD_TOO_LARGE",
      /8 times the payload limit/,
      joining(2),
      { outputs: [text('{"a":1}'), text(`{"a":"${"x".repeat(80)}"}`)], payloadBytesMax: 10 },
    ],
    [
      "PAYLOAD_TOO_LARGE",
      /limit of 10/,
      joining(1, expression("[input]")),
      { input: text('"123456789"'), payloadBytesMax: 10 },
    ],
    [
      "PAYLOAD_TOO_LARGE",
      /payload limit of 2097152/,
      joining(1, expression("input.map(x, input)")),
      { input: jsonPayload(Array.from({ length: 5_000 }, () => 0)) },
    ],
  ];
  for (const [reason, message, task, given] of cases) {
    const error = t.throws(() => resolveInput(task, sourceOf(given)));
    t.true(error instanceof InputError);
    t.like(error, { reason });
    t.regex(error.message, message);
  }
});

test("many fields share one budget, and their values one limit", (t) => {
  const input = jsonPayload(Array.from({ length: 10_000 }, () => 0));
  const fieldsOf = (source: string): InputMapping => {
    const names = Array.from({ length: 500 }, (_, i) => `f${i}`);
    return { kind: "fields", fields: Object.fromEntries(names.map((name) => [name, source])) };
  };
  const costly = joining(1, fieldsOf("input.all(x, x == 0)"));
  t.regex(t.throws(() => resolveInput(costly, sourceOf({ input }))).message, /stopped after/);
  const large = joining(1, fieldsOf("input"));
  t.like(
    t.throws(() => resolveInput(large, sourceOf({ input }))),
    { reason: "PAYLOAD_TOO_LARGE" },
  );
});

test("the default output is an object of the leaves that have one", (t) => {
  const plan = planOf({
    tasks: [{ id: "a" }, { id: "b", dependsOn: ["a"] }, { id: "c", dependsOn: ["a"] }, { id: "d" }],
  });
  const output = (...outputs: ReadonlyArray<Payload | undefined>): string =>
    textOf(resolveOutput(plan, sourceOf({ outputs })));
  t.is(
    output(text("0"), text('{"id":9007199254740993}'), undefined, text(" null ")),
    '{"b":{"id":9007199254740993},"d":null}',
  );
  t.is(output(), "{}");
  const single = planOf({ tasks: [{ id: "only" }] });
  t.is(textOf(resolveOutput(single, sourceOf({ outputs: [text('{"x":1}')] }))), '{"only":{"x":1}}');
  const raw = { data: Buffer.from("x"), encoding: "raw" };
  t.like(
    t.throws(() => resolveOutput(single, sourceOf({ outputs: [raw] }))),
    { reason: "PAYLOAD_NOT_JSON" },
  );
});

test("the output expression makes the output", (t) => {
  const tasks = [{ id: "a" }, { id: "b", dependsOn: ["a"] }];
  const outputs = [text('{"x":1}'), text('{"y":2}')];
  const made = planOf({ tasks, output: "[tasks.a.output.x, tasks.b.output.y]" });
  t.is(textOf(resolveOutput(made, sourceOf({ outputs }))), "[1,2]");
  const raw = { data: Buffer.from("x"), encoding: "raw" };
  t.is(
    resolveOutput(planOf({ tasks, output: "tasks.b.output" }), sourceOf({ outputs: [undefined, raw] })),
    raw,
  );
  t.like(
    t.throws(() => resolveOutput(made, sourceOf({}))),
    { reason: "EXPRESSION_FAILED" },
  );
});

const keys = fc.constantFrom("a", "b", "k", "__proto__", 'q"\\', "", "{", "é");
const objects = fc
  .array(fc.tuple(keys, fc.jsonValue({ maxDepth: 2 })), { maxLength: 4 })
  .map((entries) => new Map(entries));

function write(members: ReadonlyMap<string, unknown>): string {
  return `{ ${[...members].map(([key, value]) => `${JSON.stringify(key)} : ${JSON.stringify(value, undefined, 1)}`).join(" , ")} }`;
}

test("merging equals the obvious model", (t) => {
  fc.assert(
    fc.property(objects, fc.array(objects, { minLength: 1, maxLength: 4 }), (input, outputs) => {
      const model = new Map<string, unknown>();
      for (const part of [input, ...outputs]) for (const [key, value] of part) model.set(key, value);
      const merged = membersOf(contextText(write(input), ...outputs.map(write)));
      t.deepEqual(
        [...(merged ?? [])].map(([key, value]) => [key, JSON.parse(value) as unknown]),
        JSON.parse(JSON.stringify([...model])),
      );
    }),
  );
});

test("members are found in any JSON object, and in nothing else", (t) => {
  fc.assert(
    fc.property(objects, fc.jsonValue(), (members, other) => {
      const found = membersOf(`\n ${write(members)} `);
      t.deepEqual(
        [...(found ?? [])].map(([key, value]) => [key, JSON.parse(value) as unknown]),
        JSON.parse(JSON.stringify([...members])),
      );
      t.deepEqual(membersOf(objectText(found!)), found);
      const isObject = typeof other === "object" && other !== null && !Array.isArray(other);
      t.is(membersOf(JSON.stringify(other)) !== undefined, isObject);
    }),
  );
});
