import test from "ava";
import { compilePlan } from "../../server/core/compile-plan.js";
import { HeadraceError } from "../../server/core/errors.js";
import { schemaProblem } from "../../server/core/input-schema.js";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import { jsonPayload, type Payload } from "../../server/core/payload.js";
import type { Plan } from "../../server/core/plan.js";
import { checkInput } from "../../server/core/validate-input.js";

function planWith(schema: unknown): Plan {
  const inputSchema = JSON.stringify(schema);
  const compiled = compilePlan({ name: "w", inputSchema, tasks: [{ id: "a" }] }, DEFAULT_LIMITS);
  if ("problems" in compiled) throw new Error(JSON.stringify(compiled.problems));
  return compiled.plan;
}

function violationsOf(plan: Plan, payload: Payload): readonly string[] {
  try {
    checkInput(plan, payload);
    return [];
  } catch (error) {
    if (!(error instanceof HeadraceError) || error.reason !== "INVALID_INPUT") throw error;
    return (error.facts.violations ?? []).map(({ field, reason }) => `${field} ${reason}`);
  }
}

const ORDER = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "https://example.com/order",
  title: "Order",
  type: "object",
  required: ["id", "items"],
  properties: {
    id: { type: "string", minLength: 3, format: "uuid" },
    pattern: { const: 1 },
    "unit-price": { $ref: "#/$defs/money" },
    items: { type: "array", minItems: 1, uniqueItems: true, items: { $ref: "#item" } },
  },
  additionalProperties: false,
  $defs: {
    money: { type: "number", minimum: 0 },
    item: { $anchor: "item", enum: ["a", "b", 1, { x: 1, y: 2 }] },
  },
};

test("inputs are checked against the schema, and each error has its place", (t) => {
  const plan = planWith(ORDER);
  const good = { id: "abc", items: ["a", { y: 2, x: 1 }], pattern: 1, "unit-price": 1 };
  t.deepEqual(violationsOf(plan, jsonPayload(good)), []);
  const bad = { id: "a", items: ["a", "c", "a"], "unit-price": -1, more: 1, pattern: 2 };
  t.deepEqual([...violationsOf(plan, jsonPayload(bad))].sort(), [
    "input ADDITIONAL_PROPERTIES",
    "input.id MIN_LENGTH",
    "input.items UNIQUE_ITEMS",
    "input.items[1] ENUM",
    "input.pattern CONST",
    'input["unit-price"] MINIMUM',
  ]);
  t.deepEqual(violationsOf(plan, jsonPayload({ id: "abc" })), ["input REQUIRED"]);
  const error = t.throws(() => checkInput(plan, jsonPayload(bad)), { instanceOf: HeadraceError });
  t.regex(error.message, /input.*\("more"\).*and 5 more/);
});

test("an input that is not JSON is refused only where a schema asks for JSON", (t) => {
  const plan = planWith({ type: "object" });
  t.deepEqual(violationsOf(plan, { data: Buffer.from("{"), encoding: "json" }), ["input NOT_JSON"]);
  t.deepEqual(violationsOf(plan, { data: Buffer.from("{}"), encoding: "raw" }), ["input.encoding NOT_JSON"]);
  const free = compilePlan({ name: "w", tasks: [{ id: "a" }] }, DEFAULT_LIMITS);
  if ("problems" in free) throw new Error(JSON.stringify(free.problems));
  t.notThrows(() => checkInput(free.plan, { data: Buffer.from("{"), encoding: "raw" }));
});

test("schemas that cannot be used say why", (t) => {
  const nested = (depth: number): string => `${'{"not":'.repeat(depth)}true${"}".repeat(depth)}`;
  const cases: ReadonlyArray<readonly [string, RegExp]> = [
    ["{", /not JSON/],
    ["[]", /object, or true or false/],
    ['{"type":"objec"}', /wrong at #\/type/],
    ['{"minimum":"1"}', /wrong at #\/minimum/],
    ['{"$schema":"http://json-schema.org/draft-07/schema#"}', /only .*2020-12/],
    ['{"$ref":"https://example.com/x.json"}', /nothing is loaded from elsewhere.*\$defs/],
    ['{"$ref":"other.json#/a"}', /nothing is loaded from elsewhere/],
    ['{"$ref":"#/$defs/missing"}', /leads to no schema here/],
    ['{"$ref":"#missing"}', /cannot be compiled/],
    ['{"const":{"pattern":"(a+)+$"},"properties":{"x":{"$ref":"#/const"}}}', /leads to no schema here/],
    ['{"x-own":{"pattern":"(a+)+$"},"properties":{"x":{"$ref":"#/x-own"}}}', /leads to no schema here/],
    ['{"properties":{"x":{"pattern":"(a+)+$"}}}', /pattern at #\/properties\/x is not supported/],
    ['{"patternProperties":{"(a+)+$":true}}', /patternProperties at # is not supported/],
    ['{"propertyNames":{"pattern":"a"}}', /pattern at #\/propertyNames/],
    ['{"$defs":{"a/b":{"anyOf":[{"pattern":"a"}]}}}', /pattern at #\/\$defs\/a~1b\/anyOf\/0/],
    ['{"$async":true}', /\$async/],
    ['{"$defs":{"a":{"$id":"https://example.com/a"}}}', /\$id at #\/\$defs\/a/],
    ['{"allOf":{}}', /list of schemas/],
    ['{"properties":[]}', /object of schemas/],
    ['{"items":[{}]}', /schema is expected/],
    ['{"properties":{"__proto__":{"type":"string"}}}', /"__proto__" at #\/properties/],
    [nested(9_000), /more than 500 subschemas/],
  ];
  for (const [schema, message] of cases)
    t.regex(schemaProblem(schema) ?? "none", message, schema.slice(0, 80));
  for (const schema of [
    "true",
    "{}",
    '{"properties":{"pattern":{"type":"string"}},"default":{"pattern":1}}',
    '{"$ref":"#"}',
  ]) {
    t.is(schemaProblem(schema), undefined, schema);
  }
});

test("a property that is named like the host's own stays a property", (t) => {
  const plan = planWith({ properties: { constructor: { type: "number" } }, required: ["constructor"] });
  t.deepEqual(violationsOf(plan, jsonPayload({})), ["input REQUIRED"]);
  t.deepEqual(violationsOf(plan, jsonPayload({ constructor: "x" })), ["input.constructor TYPE"]);
  t.deepEqual(violationsOf(plan, jsonPayload({ constructor: 1 })), []);
});

test("no schema holds the event loop", (t) => {
  const deep = JSON.parse(`${"[".repeat(60)}1${"]".repeat(60)}`) as unknown;
  const many = Array.from({ length: 300_000 }, (_, i) => i);
  const objects = Array.from({ length: 60_000 }, (_, x) => ({ x }));
  const wide = Object.fromEntries(many.slice(0, 100_000).map((i) => [`k${i}`, i]));
  const chain = Array.from(
    { length: 60 },
    (_, i) => [`d${i}`, { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] }] as const,
  );
  const bombs: ReadonlyArray<readonly [string, unknown, unknown]> = [
    ["doubling", { $ref: "#/$defs/d0", $defs: { ...Object.fromEntries(chain), d60: true } }, 1],
    [
      "backtracking",
      {
        $ref: "#/$defs/a",
        $defs: {
          a: {
            anyOf: [
              { items: { $ref: "#/$defs/a" }, type: "array" },
              { items: { $ref: "#/$defs/a" }, type: ["array"] },
            ],
          },
        },
      },
      deep,
    ],
    ["without end", { $ref: "#" }, 1],
    [
      "many branches",
      { items: { anyOf: Array.from({ length: 400 }, (_, i) => (i < 399 ? { type: "string" } : {})) } },
      many,
    ],
    [
      "wide objects",
      { allOf: Array.from({ length: 200 }, () => ({ additionalProperties: { type: "number" } })) },
      wide,
    ],
    ["unique objects", { allOf: Array.from({ length: 100 }, () => ({ uniqueItems: true })) }, objects],
  ];
  for (const [name, schema, input] of bombs) {
    const plan = planWith(schema);
    const payload = jsonPayload(input);
    const begin = process.hrtime.bigint();
    t.deepEqual(violationsOf(plan, payload), ["input TOO_COSTLY"], name);
    const tookMs = Number(process.hrtime.bigint() - begin) / 1e6;
    t.log(`${tookMs.toFixed(0)} ms ${name}`);
    t.true(tookMs < 5_000, `${name}: ${tookMs} ms`);
  }
});

test("unique items of a large list are found without comparing each with each", (t) => {
  const plan = planWith({ uniqueItems: true });
  const items = Array.from({ length: 50_000 }, (_, x) => ({ x }));
  t.deepEqual(violationsOf(plan, jsonPayload(items)), []);
  t.deepEqual(violationsOf(plan, jsonPayload([...items, { x: 0 }])), ["input UNIQUE_ITEMS"]);
});

test("a million errors are told as a few", (t) => {
  const violations = violationsOf(
    planWith({ items: { type: "string" } }),
    jsonPayload(Array.from({ length: 500_000 }, () => 0)),
  );
  t.deepEqual(violations, ["input[0] TYPE"]);
  t.is(
    violationsOf(planWith({ items: { type: "string" } }), jsonPayload(Array.from({ length: 500 }, () => 0)))
      .length,
    100,
  );
});

test("a schema is compiled once for each plan", (t) => {
  const plan = planWith(ORDER);
  const payload = jsonPayload({ id: "abc", items: ["a"] });
  checkInput(plan, payload);
  const begin = process.hrtime.bigint();
  for (let i = 0; i < 1_000; i++) checkInput(plan, payload);
  const tookMs = Number(process.hrtime.bigint() - begin) / 1e6;
  t.log(`${tookMs.toFixed(1)} µs each`);
  // Compiling takes about a millisecond each time.
  t.true(tookMs < 500, `${tookMs} ms`);
});
