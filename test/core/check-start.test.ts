import test from "ava";
import { checkStart, type StartFields } from "../../server/core/check-start.js";
import { HeadraceError } from "../../server/core/errors.js";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import { jsonPayload } from "../../server/core/payload.js";
import { parseTraceparent } from "../../server/core/traceparent.js";

const ID = "0190a6c2-7b1e-7abc-8def-0123456789ab";
const START: StartFields = {
  workflow: "orders",
  version: "",
  input: undefined,
  executionId: "",
  idempotencyKey: "",
  labels: {},
  deadlineMs: undefined,
  priority: 0,
  traceparent: "",
};

function refusal(
  t: { throws: (body: () => unknown) => unknown },
  change: Partial<StartFields>,
): HeadraceError {
  const error = t.throws(() => checkStart({ ...START, ...change }, DEFAULT_LIMITS));
  if (error instanceof HeadraceError) return error;
  throw error;
}

test("good starts pass", (t) => {
  const changes: ReadonlyArray<Partial<StartFields>> = [
    {},
    { version: "0a1b2c" },
    { version: "d87eb07b-dcc9-07c1-d3b4-96d13786ee91" },
    { input: jsonPayload({ a: 1 }) },
    { input: { data: new Uint8Array(DEFAULT_LIMITS.payloadBytes), encoding: "application/x-protobuf" } },
    { idempotencyKey: "x".repeat(200), labels: { team: "", "a b": "ä" }, deadlineMs: 1, priority: -100 },
  ];
  for (const change of changes) t.notThrows(() => checkStart({ ...START, ...change }, DEFAULT_LIMITS));
  t.is(checkStart({ ...START, executionId: ID.toUpperCase() }, DEFAULT_LIMITS).executionId, ID);
});

test("bad fields are named with limit and value", (t) => {
  const cases: ReadonlyArray<readonly [Partial<StartFields>, string, unknown]> = [
    [{ workflow: "" }, "workflow", ""],
    [{ workflow: "a\0" }, "workflow", "a\0"],
    [{ version: "0a1b" }, "version", "0a1b"],
    [{ version: "latest" }, "version", "latest"],
    [{ input: { data: Buffer.from("1"), encoding: "" } }, "input.encoding", ""],
    [{ input: { data: Buffer.from("1"), encoding: "JSON" } }, "input.encoding", "JSON"],
    [
      { executionId: "0190a6c2-7b1e-4abc-8def-0123456789ab" },
      "execution_id",
      "0190a6c2-7b1e-4abc-8def-0123456789ab",
    ],
    [{ executionId: ID.replace("-8def", "-cdef") }, "execution_id", ID.replace("-8def", "-cdef")],
    [{ executionId: ID.replaceAll("-", "") }, "execution_id", ID.replaceAll("-", "")],
    [{ idempotencyKey: "x".repeat(201) }, "idempotency_key", 201],
    [{ idempotencyKey: "\ud800" }, "idempotency_key", 1],
    [{ labels: { "": "x" } }, 'labels[""]', 0],
    [{ labels: { a: "x".repeat(256) } }, 'labels["a"]', 256],
    [{ labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, ""])) }, "labels", 33],
    [{ deadlineMs: 0 }, "deadline", 0],
    [{ deadlineMs: NaN }, "deadline", NaN],
    [{ priority: 101 }, "priority", 101],
    [{ priority: 0.5 }, "priority", 0.5],
  ];
  for (const [change, field, actual] of cases) {
    const error = refusal(t, change);
    t.is(error.reason, "INVALID_FIELD");
    t.is(error.facts.field, field);
    t.deepEqual(error.facts.actual, actual);
    t.truthy(error.facts.limit);
  }
});

test("an input that is too large has its own reason", (t) => {
  const error = refusal(t, {
    input: { data: new Uint8Array(DEFAULT_LIMITS.payloadBytes + 1), encoding: "json" },
  });
  t.is(error.reason, "PAYLOAD_TOO_LARGE");
  t.like(error.facts, {
    field: "input",
    limit: DEFAULT_LIMITS.payloadBytes,
    actual: DEFAULT_LIMITS.payloadBytes + 1,
  });
});

test("all wrong fields come at once", (t) => {
  const error = refusal(t, { workflow: " ", priority: 1e9, executionId: "x" });
  t.deepEqual(
    error.facts.violations?.map(({ field }) => field),
    ["workflow", "execution_id", "priority"],
  );
  t.regex(error.message, /and 2 more/);
});

test("a traceparent is read or ignored", (t) => {
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const span = "00f067aa0ba902b7";
  t.deepEqual(parseTraceparent(`00-${trace}-${span}-01`), { traceId: trace, spanId: span, sampled: true });
  t.deepEqual(parseTraceparent(`00-${trace}-${span}-00`), { traceId: trace, spanId: span, sampled: false });
  t.deepEqual(parseTraceparent(`cc-${trace}-${span}-03-more`), {
    traceId: trace,
    spanId: span,
    sampled: true,
  });
  const malformed = [
    "",
    "x",
    `00-${trace}-${span}`,
    `00-${trace}-${span}-01-more`,
    `ff-${trace}-${span}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${"0".repeat(32)}-${span}-01`,
    `00-${trace}-${"0".repeat(16)}-01`,
    `01-${trace}-${span}-01-${"x".repeat(1_000)}`,
    ` 00-${trace}-${span}-01`,
  ];
  for (const text of malformed) {
    t.is(parseTraceparent(text), undefined, text);
    t.is(checkStart({ ...START, traceparent: text }, DEFAULT_LIMITS).traceParent, undefined);
  }
});
