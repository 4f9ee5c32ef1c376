import test from "ava";
import * as fc from "fast-check";
import { evaluate as evaluateCel } from "@marcbachmann/cel-js";
import { compileExpression, ExpressionError, type ExpressionScope } from "../../server/core/expression.js";
import { DEFAULT_LIMITS, type Limits } from "../../server/core/limits.js";

const EXECUTION = { id: "0190-x", workflow: "orders", created_at: "2026-01-31T12:00:00.000Z" };
const TASK_IDS = new Set(["a", "b", "my-id"]);

interface Values {
  readonly input?: unknown;
  readonly outputs?: Readonly<Record<string, unknown>>;
}

function compile(source: string, limits: Limits = DEFAULT_LIMITS) {
  return compileExpression(source, { taskIds: TASK_IDS, limits });
}

function scope({ input = null, outputs = {} }: Values = {}): ExpressionScope {
  return { input, outputOf: (id) => outputs[id], execution: EXECUTION };
}

function evaluate(source: string, values: Values = {}): unknown {
  return compile(source).evaluate(scope(values));
}

function errorOf(body: () => unknown): { reason: string; message: string } {
  try {
    body();
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
  return { reason: "none", message: "none" };
}

test("values, operators and functions", (t) => {
  const input = {
    n: 1,
    x: 2.5,
    s: "grüße",
    xs: [1, 2, 3],
    o: { k: null, "a-b": 7 },
    e: "👍a👍b",
    big: 2 ** 53 - 1,
  };
  const cases: ReadonlyArray<readonly [string, unknown]> = [
    ["input.n", 1],
    ["input.n + 1", 2],
    ["1 + input.n * 2", 3],
    ["input.x * 2", 5],
    ["input.n / 2", 0.5],
    ["5 / 2", 2],
    ["-7 % 3", -1],
    ["input.xs[2] % 2", 1],
    ["input.xs[input.n]", 2],
    ["input.n == 1 && input.n == 1.0 && 1 == 1.0", true],
    ["input.n in [3, 2, 1]", true],
    ["'k' in input.o", true],
    ['input.o["a-b"]', 7],
    ["input.o.k == null", true],
    ["has(input.o.k) && !has(input.o.z)", true],
    ["input.n < 2 && 2 > input.n && input.x >= 2.5 && 'a' <= 'b'", true],
    ["input.n == '1'", false],
    ["input.xs == [1, 2, 3]", true],
    ["{'b': [1, {'c': 2.0}]} == {'b': [1.0, {'c': 2}]}", true],
    ["input.n > 0 ? 'yes' : 'no'", "yes"],
    ["input.n > 0 ? 'yes' : 3", "yes"],
    ["[1, 'a', null, true]", [1, "a", null, true]],
    ["{'a': 1, 'b': {'c': [input.n]}}", { a: 1, b: { c: [1] } }],
    ["input.xs.map(x, x * 2)", [2, 4, 6]],
    ["input.xs.map(x, x > 1, x * 2)", [4, 6]],
    ["input.xs.filter(x, x != 2)", [1, 3]],
    ["input.xs.all(x, x > 0) && input.xs.exists(x, x == 2) && input.xs.exists_one(x, x == 3)", true],
    ["input.o.map(k, k)", ["k", "a-b"]],
    ["[1, 2].map(x, [3, 4].map(y, x * y))", [[3, 4], [6, 8]]], // prettier-ignore
    ["cel.bind(x, input.n + 1, x * x)", 4],
    ["size(input.s) + input.xs.size() + size(input.o)", 10],
    ["size(input.e)", 4],
    ["input.e.indexOf('b')", 3],
    ["input.e.indexOf('👍', 1)", 2],
    ["input.e.substring(1, 3)", "a👍"],
    ["input.e.charAt(2)", "👍"],
    ["input.s.startsWith('gr') && input.s.endsWith('e') && input.s.contains('ß')", true],
    ["' Ab '.trim().lowerAscii() + 'ß'.upperAscii()", "abß"],
    ["'a,b,c'.split(',')", ["a", "b", "c"]],
    ["'a,b,c'.split(',', 2)", ["a", "b,c"]],
    ["['a', 'b'].join('-')", "a-b"],
    ["'a-b-c'.replace('-', '+')", "a+b+c"],
    ["'abcabc'.lastIndexOf('b')", 4],
    ["string(input.n) + string(2.5) + string(true)", "12.5true"],
    ["int('42') + int(2.9)", 44],
    ["double('1.5e1')", 15],
    ["bool('true')", true],
    ["input.xs + [4]", [1, 2, 3, 4]],
    ["0x10 + 1", 17],
    ["input.big", 2 ** 53 - 1],
    ["b'ab' + bytes('c')", "YWJj"],
    ["execution.workflow + execution.id", "orders0190-x"],
    ["timestamp(execution.created_at) + duration('1h30m')", "2026-01-31T13:30:00Z"],
    ["timestamp('2026-01-31T12:00:00.250+02:00')", "2026-01-31T10:00:00.250Z"],
    ["timestamp('2026-03-01T00:00:00Z') - timestamp('2026-02-28T00:00:00Z') == duration('24h')", true],
    ["timestamp(86400).getDate()", 2],
    ["timestamp('2026-02-01T00:00:00Z').getDayOfYear()", 31],
    ["duration('90s').getMinutes()", 1],
    ["duration('1.5s')", "1.5s"],
    ["duration('-250ms')", "-0.25s"],
    ["// a comment\n input.n\n + 1", 2],
  ];
  for (const [source, expected] of cases) t.deepEqual(evaluate(source, { input }), expected, source);
});

test("a value of JSON comes back as the same value", (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const input: unknown = JSON.parse(JSON.stringify(value));
      t.is(JSON.stringify(evaluate("input", { input })), JSON.stringify(input));
      t.is(JSON.stringify(evaluate("{'v': [input]}", { input })), JSON.stringify({ v: [input] }));
      t.true(evaluate("input == {'v': input}.v", { input }));
    }),
  );
});

test("what both evaluators know, they agree on", (t) => {
  const operand = fc.oneof(
    fc.integer({ min: -9, max: 9 }).map(String),
    fc.constantFrom("true", "false", "'a'", "'b'", "[1, 2]", "[2, 1]", "2.5", "1.0", "'ab'.size()"),
  );
  const operator = fc.constantFrom("+", "-", "*", "/", "%", "==", "<", ">=", "&&", "||");
  const { expression } = fc.letrec<{ expression: string }>((tie) => ({
    expression: fc.oneof(
      { depthSize: "small" },
      operand,
      fc.tuple(tie("expression"), operator, tie("expression")).map(([l, o, r]) => `(${l} ${o} ${r})`),
      fc.tuple(tie("expression"), tie("expression")).map(([l, r]) => `[${l}, ${l}].exists(x, x == ${r})`),
    ),
  }));
  let agreed = 0;
  fc.assert(
    fc.property(expression, (source) => {
      let expected: unknown;
      try {
        expected = evaluateCel(source);
      } catch {
        // The library checks types before it runs, so it refuses more.
        return;
      }
      if (typeof expected === "number" && !Number.isFinite(expected)) return;
      const plain = JSON.stringify(expected, (_, v: unknown) => (typeof v === "bigint" ? Number(v) : v));
      // The nested variables of `exists` would hide each other, which only the library allows.
      if (/exists.*exists/.test(source)) return;
      t.is(JSON.stringify(evaluate(source)), plain, source);
      agreed++;
    }),
    { numRuns: 500 },
  );
  t.true(agreed > 50, String(agreed));
});

test("only outputs that are read are fetched", (t) => {
  const expression = compile('tasks.a.output.x + tasks["my-id"].output.x + tasks.a["output"].x');
  t.deepEqual([...expression.taskIds].sort(), ["a", "my-id"]);
  const asked: string[] = [];
  const outputOf = (id: string): unknown => {
    asked.push(id);
    return { x: 1 };
  };
  const unread: ExpressionScope = {
    get input(): unknown {
      throw new Error("The input was read");
    },
    outputOf,
    execution: EXECUTION,
  };
  t.is(expression.evaluate(unread), 3);
  t.deepEqual([...new Set(asked)].sort(), ["a", "my-id"]);
});

test("an output that was not given is absent", (t) => {
  t.is(evaluate("has(tasks.a.output)"), false);
  t.is(evaluate("has(tasks.a.output)", { outputs: { a: null } }), true);
  t.is(evaluate("has(tasks.a.output) ? tasks.a.output : 'none'"), "none");
  t.is(evaluate("has(input.a)"), false);
  t.is(evaluate("tasks.a.output"), null);
  t.deepEqual(evaluate("{'a': tasks.a.output}"), { a: null });
  t.regex(errorOf(() => evaluate("tasks.a.output.x")).message, /null has no fields \(looking for "x"\)/);
});

test("an expression that only names a payload says so", (t) => {
  t.deepEqual(compile("input").copyOf, { kind: "input" });
  t.deepEqual(compile(' tasks["my-id"].output ').copyOf, { kind: "task", taskId: "my-id" });
  for (const source of ["input.a", "tasks.a.output.b", "[input]", "execution", "input == 1"]) {
    t.is(compile(source).copyOf, undefined, source);
  }
});

test("what does not compile says what and where", (t) => {
  const cases: ReadonlyArray<readonly [string, string, RegExp]> = [
    ["", "EXPRESSION_SYNTAX", /EOF/],
    ["1 +", "EXPRESSION_SYNTAX", /column 4/],
    ["1 +\n +", "EXPRESSION_SYNTAX", /line 2, column/],
    ["inptu.a", "EXPRESSION_UNKNOWN_NAME", /no variable "inptu".*"input".*column 1/],
    ["tasks.c.output", "EXPRESSION_UNKNOWN_NAME", /no task "c"/],
    ["tasks.my-id.output", "EXPRESSION_UNKNOWN_NAME", /tasks\["my-id"\]/],
    ['tasks["my_id"].output', "EXPRESSION_UNKNOWN_NAME", /Did you mean "my-id"/],
    ["tasks", "EXPRESSION_UNKNOWN_NAME", /tasks.<id>.output/],
    ["tasks.a", "EXPRESSION_UNKNOWN_NAME", /tasks.<id>.output/],
    ["tasks.a.result", "EXPRESSION_UNKNOWN_NAME", /tasks.<id>.output/],
    ["tasks[input.id].output", "EXPRESSION_UNKNOWN_NAME", /tasks.<id>.output/],
    ["tasks.map(t, t)", "EXPRESSION_UNKNOWN_NAME", /tasks.<id>.output/],
    ["execution.name", "EXPRESSION_UNKNOWN_NAME", /id, workflow, created_at/],
    ["sise(input)", "EXPRESSION_UNKNOWN_NAME", /"size"/],
    ["trim(input)", "EXPRESSION_UNKNOWN_NAME", /method/],
    ["input.foo(1)", "EXPRESSION_UNKNOWN_NAME", /no method "foo"/],
    ["input.s.matches('(a+)+$')", "EXPRESSION_UNKNOWN_NAME", /Regular expressions are not offered/],
    ["size(1, 2)", "EXPRESSION_SYNTAX", /takes 1 arguments, not 2/],
    ["has(input)", "EXPRESSION_SYNTAX", /has\(\) takes a field/],
    ["input.map(input, 1)", "EXPRESSION_SYNTAX", /"input" is taken/],
    ["input.map(x, input.map(x, 1))", "EXPRESSION_SYNTAX", /"x" is taken/],
    ["input.map(1, 1)", "EXPRESSION_SYNTAX", /variable/],
    ["1u", "EXPRESSION_SYNTAX", /Unsigned/],
    ["9223372036854775808", "EXPRESSION_SYNTAX", /64 bits/],
    ["input.x[", "EXPRESSION_SYNTAX", /column/],
    ["__proto__", "EXPRESSION_SYNTAX", /Reserved/],
    ["constructor", "EXPRESSION_UNKNOWN_NAME", /no variable/],
    ["toString()", "EXPRESSION_UNKNOWN_NAME", /no function/],
    ["input.hasOwnProperty('a')", "EXPRESSION_UNKNOWN_NAME", /no method/],
    [`[${"1,".repeat(1_100)}1]`, "EXPRESSION_TOO_COMPLEX", /maxAstNodes|maxListElements/],
    ["x".repeat(5_000), "EXPRESSION_TOO_COMPLEX", /5000 characters.*4096/],
    ["(".repeat(2_000), "EXPRESSION_TOO_COMPLEX", /maxDepth/],
  ];
  for (const [source, reason, message] of cases) {
    const error = errorOf(() => compile(source));
    t.is(error.reason, reason, source.slice(0, 60));
    t.regex(error.message, message, source.slice(0, 60));
  }
});

test("depth of parsing is bounded whatever the limits are", (t) => {
  const wide = { ...DEFAULT_LIMITS, expressionChars: 10_000_000, expressionNodes: 10_000_000 };
  for (const source of [`${"!".repeat(200_000)}true`, `1${"+1".repeat(200_000)}`]) {
    t.is(errorOf(() => compile(source, wide)).reason, "EXPRESSION_TOO_COMPLEX");
  }
});

test("what fails says what and where", (t) => {
  const input = { n: 1, s: "a", xs: [1] };
  const cases: ReadonlyArray<readonly [string, RegExp]> = [
    ["input.nope", /no field "nope".*column 1/],
    ["input.n.x", /double has no fields/],
    ["input.xs[3]", /Index 3 is outside the list, which has 1 items/],
    ["input.xs[0.5]", /whole number/],
    ["input.xs['0']", /whole number/],
    ["1 / 0", /Division by zero/],
    ["1 % 0", /Division by zero/],
    ["input.n / 0", /Infinity, which JSON cannot hold/],
    ["input.n % 0.5", /whole numbers/],
    ["9223372036854775807 + 1", /overflow/],
    ["-(-9223372036854775807 - 1)", /overflow/],
    ["9007199254740993", /beyond ±2\^53/],
    ["input.s + 1", /string and int.*string\(\)/],
    ["input.s < 1", /does not work on string and int/],
    ["input.s && false || input.s", /Expected a condition/],
    ["!input.n", /Expected a condition/],
    ["input.n ? 1 : 2", /Expected a condition/],
    ["input.n.map(x, x)", /Only lists and maps/],
    ["1 in input.s", /needs a list or a map/],
    ["{1: 2}", /keys of a map are strings/],
    ["{'a': 1, 'a': 2}", /given twice/],
    ["int('x')", /int\(\) cannot convert "x"/],
    ["timestamp('2026-02-30T00:00:00Z')", /RFC 3339/],
    ["timestamp('yesterday')", /RFC 3339/],
    ["duration('1y')", /1h30m/],
    ["'a'.substring(2)", /outside 0 to 1/],
    ["['a', 1].join()", /Expected a string, not int/],
    ["'a'.replace('', 'b')", /something to replace/],
    ["-input.s", /does not work on string/],
  ];
  for (const [source, message] of cases) {
    const error = errorOf(() => evaluate(source, { input }));
    t.is(error.reason, "EXPRESSION_FAILED", source);
    t.regex(error.message, message, source);
  }
});

test("one side that decides is enough", (t) => {
  t.true(evaluate("1 / 0 == 1 || true"));
  t.false(evaluate("1 / 0 == 1 && false"));
  t.true(evaluate("[0, 1].exists(x, 1 / x == 1)"));
  t.false(evaluate("[0, 2].all(x, 1 / x == 1)"));
  t.is(errorOf(() => evaluate("1 / 0 == 1 || false")).reason, "EXPRESSION_FAILED");
  t.is(errorOf(() => evaluate("[0, 2].exists(x, 1 / x == 1)")).reason, "EXPRESSION_FAILED");
});

test("keys of the host's objects are data and reach nothing", (t) => {
  const input: unknown = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2, "o": {}}');
  t.is(evaluate("input.constructor", { input }), 2);
  t.is(evaluate('input["__proto__"].polluted', { input }), 1);
  t.is(JSON.stringify(evaluate("[input]", { input })), JSON.stringify([input]));
  const literal = evaluate("{'__proto__': {'polluted': 1}, 'constructor': 2}");
  t.is(JSON.stringify(literal), '{"__proto__":{"polluted":1},"constructor":2}');
  for (const key of ["constructor", "toString", "hasOwnProperty", "length"]) {
    t.is(errorOf(() => evaluate(`input.o.${key}`, { input })).reason, "EXPRESSION_FAILED", key);
    t.false(evaluate(`has(input.o.${key})`, { input }));
    t.false(evaluate(`'${key}' in input.o`, { input }));
  }
  t.is(errorOf(() => evaluate("'a'.length", { input })).reason, "EXPRESSION_FAILED");
  t.is(({} as Record<string, unknown>)["polluted"], undefined);
});

test("no expression holds the event loop", (t) => {
  const xs = Array.from({ length: 1_000 }, (_, i) => i);
  const input = {
    xs,
    wide: Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i])),
    other: Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i])),
    text: "ab ".repeat(500_000),
    many: Array.from({ length: 500_000 }, () => 0),
    objects: xs.map((x) => ({ x })),
  };
  const doubling = Array.from({ length: 40 }, (_, i) => `cel.bind(v${i + 1}, v${i} + v${i}, `).join("");
  const bombs = [
    "input.xs.map(a, input.xs.map(b, input.xs.map(c, 1)))",
    "input.xs.exists(a, input.xs.exists(b, input.xs.exists(c, false)))",
    "input.xs.all(a, input.xs.all(b, input.nope || true))",
    "input.xs.filter(a, input.xs.exists_one(b, b == a))",
    "input.many.map(a, a)",
    "input.xs.map(a, input.xs == input.xs.map(b, b))",
    "input.xs.map(a, input.many + input.many)",
    "input.xs.map(a, input.text.contains('abc'))",
    "input.xs.map(a, input.text + input.text)",
    "input.xs.map(a, input.text.split(' '))",
    "input.text.split('')",
    "input.text.replace(' ', input.text)",
    "input.xs.map(a, input.wide.size())",
    "input.xs.map(a, [input.wide] == [input.other])",
    "input.xs.map(a, input.many.exists(b, b == 1))",
    "input.xs.map(a, 5 in input.many)",
    "input.xs.map(a, input.objects.map(b, {'x': b.x + 1} in input.objects))",
    `cel.bind(v0, 'abcdefghij', ${doubling}size(v40)${")".repeat(40)})`,
    `cel.bind(v0, input.xs, ${doubling}size(v40)${")".repeat(40)})`,
  ];
  for (const source of bombs) {
    const expression = compile(source);
    const begin = process.hrtime.bigint();
    t.is(errorOf(() => expression.evaluate(scope({ input }))).reason, "EXPRESSION_TOO_COSTLY", source);
    const tookMs = Number(process.hrtime.bigint() - begin) / 1e6;
    t.log(`${tookMs.toFixed(1)} ms  ${source.slice(0, 70)}`);
    // At most some 20 ms when the machine is idle; without a budget the least of them takes minutes.
    t.true(tookMs < 3_000, `${tookMs} ms for ${source}`);
  }
});

test("a value that is named many times does not grow beyond the payload limit", (t) => {
  const input = { xs: Array.from({ length: 1_000 }, () => 0), big: "x".repeat(1_000_000) };
  const sources = ["input.xs.map(x, input.big)", "input.xs.map(x, input)", `[${"input.big,".repeat(100)}1]`];
  for (const source of sources) {
    t.is(errorOf(() => evaluate(source, { input })).reason, "EXPRESSION_RESULT_TOO_LARGE", source);
  }
});

test("values that are nested without end are refused", (t) => {
  const input: unknown = JSON.parse("[".repeat(100_000) + "]".repeat(100_000));
  t.is(errorOf(() => evaluate("[input]", { input })).reason, "EXPRESSION_TOO_COSTLY");
});

test("evaluations can share one budget", (t) => {
  const expression = compile("input.map(x, x)");
  const values = scope({ input: Array.from({ length: 40_000 }, () => 0) });
  const meter = expression.newMeter();
  expression.evaluate(values, meter);
  expression.evaluate(values, meter);
  t.is(errorOf(() => expression.evaluate(values, meter)).reason, "EXPRESSION_TOO_COSTLY");
  t.notThrows(() => expression.evaluate(values));
});
