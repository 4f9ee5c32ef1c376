import test from "ava";
import * as fc from "fast-check";
import { canonicalJson } from "../../server/core/canonical-json.js";
import { decodeSpec, encodeSpec } from "../../server/core/encode-spec.js";
import { versionOf } from "../../server/core/version.js";
import type { WorkflowSpec } from "../../server/core/workflow-spec.js";

const decoder = new TextDecoder();

function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, shuffled(item)]),
  );
}

test("canonical JSON follows RFC 8785", (t) => {
  const cases: ReadonlyArray<readonly [unknown, string]> = [
    [{ b: 1, a: [true, null, "x"] }, '{"a":[true,null,"x"],"b":1}'],
    [[1e21, 1e-7, 0.1, -0, 1e20, 4.5, 2e-3], "[1e+21,1e-7,0.1,0,100000000000000000000,4.5,0.002]"],
    ['\u20ac$\u000f\nA\'B"\\"/', '"€$\\u000f\\nA\'B\\"\\\\\\"/"'],
    [
      { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\u{1f600}": 5, "\u0080": 6, ö: 7 },
      '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}',
    ],
    [{ a: undefined, b: 1 }, '{"b":1}'],
    [JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
    [Object.create(null), "{}"],
  ];
  for (const [value, text] of cases) t.is(canonicalJson(value), text);
  for (const value of [NaN, Infinity, 1n, undefined, "\ud800", { "\udc00": 1 }, new Date(0), () => 1]) {
    t.throws(() => canonicalJson(value), { instanceOf: TypeError });
  }
});

test("canonical JSON does not depend on the order of keys and parses back", (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      t.is(canonicalJson(shuffled(value)), text);
      t.is(canonicalJson(JSON.parse(text)), text);
      t.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
    }),
  );
});

const SPEC: WorkflowSpec = {
  name: "orders",
  description: "Ünï",
  inputSchema: '{"type":"object"}',
  tasks: [
    {
      id: "a",
      handler: "h",
      queue: "q",
      retry: { maxAttempts: 2, nonRetryableErrorTypes: ["E"] },
      timeouts: { queueMs: 5 },
    },
    { id: "b", dependsOn: ["a"], input: { kind: "expression", expression: "tasks.a.output" }, priority: -1 },
    { id: "c", input: { kind: "fields", fields: { y: "input", __proto__2: "1" } }, annotations: { k: "" } },
    { id: "d", input: { kind: "literal", payload: { data: Uint8Array.of(0, 255, 128), encoding: "raw" } } },
  ],
  output: "tasks.b.output",
  deadlineMs: 1_000,
  labels: { team: "x" },
};

test("a workflow survives its stored form", (t) => {
  const decoded = decodeSpec(encodeSpec(SPEC));
  t.deepEqual(decoded, SPEC);
  t.deepEqual(encodeSpec(decoded), encodeSpec(SPEC));
  t.is(versionOf(decoded), versionOf(SPEC));
});

test("the version is known for good", (t) => {
  t.is(decoder.decode(encodeSpec({ name: "w", tasks: [{ id: "a" }] })), '{"name":"w","tasks":[{"id":"a"}]}');
  t.is(versionOf({ name: "w", tasks: [{ id: "a" }] }), "d87eb07b-dcc9-07c1-d3b4-96d13786ee91");
  t.regex(versionOf(SPEC), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

test("what was not written and what is empty are one version; all else is content", (t) => {
  const plain: WorkflowSpec = { name: "w", tasks: [{ id: "a" }, { id: "b" }] };
  const same: WorkflowSpec = {
    description: "",
    labels: {},
    tasks: [{ retry: {}, timeouts: {}, dependsOn: [], handler: "", id: "a" }, { id: "b" }],
    name: "w",
  };
  t.is(versionOf(same), versionOf(plain));
  const others: readonly WorkflowSpec[] = [
    { ...plain, tasks: [{ id: "b" }, { id: "a" }] },
    { ...plain, name: "v" },
    { ...plain, labels: { a: "" } },
    { ...plain, tasks: [{ id: "a", priority: 0 }, { id: "b" }] },
    { ...plain, tasks: [{ id: "a", retry: { maxAttempts: 3 } }, { id: "b" }] },
    { ...plain, tasks: [{ id: "a", input: { kind: "fields", fields: {} } }, { id: "b" }] },
  ];
  const versions = new Set([plain, ...others].map(versionOf));
  t.is(versions.size, others.length + 1);
});
