import { readFileSync } from "node:fs";

import { create } from "@bufbuild/protobuf";
import test from "ava";
import fc from "fast-check";

import { decodePayload, encodePayload } from "../src/codec.js";
import { parseDuration } from "../src/duration.js";
import { failureOf } from "../src/failure.js";
import { PayloadSchema } from "../src/gen/headrace/v1/payload_pb.js";
import { ExecutionFailedError, HeadraceError } from "../src/index.js";
import { uuidv7 } from "../src/uuid.js";

interface Vectors {
  readonly accepted: ReadonlyArray<{ name: string; hex: string; value: unknown; canonical?: boolean }>;
  readonly refused: ReadonlyArray<{ name: string; hex: string }>;
}

// From dist-test/test to the vectors that all SDKs share.
const file = new URL("../../../../test/vectors/payload-json.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as Vectors;

function jsonOf(hex: string): ReturnType<typeof encodePayload> {
  return create(PayloadSchema, { data: Buffer.from(hex, "hex"), encoding: "json" });
}

for (const { name, hex, value, canonical } of vectors.accepted) {
  test(`JSON vector: ${name}`, (t) => {
    t.deepEqual(decodePayload(jsonOf(hex)), value);
    const encoded = encodePayload(value);
    t.deepEqual(decodePayload(encoded), value);
    if (canonical === true) t.is(Buffer.from(encoded.data).toString("hex"), hex);
  });
}

for (const { name, hex } of vectors.refused) {
  test(`JSON vector, refused: ${name}`, (t) => {
    const error = t.throws(() => decodePayload(jsonOf(hex)), { instanceOf: HeadraceError });
    t.is(error.reason, "INVALID_PAYLOAD");
  });
}

test("any JSON value survives encoding and decoding", (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      // Minus zero is the one number that JSON.stringify changes.
      const expected = JSON.parse(JSON.stringify(value)) as unknown;
      t.deepEqual(decodePayload(encodePayload(value)), expected);
    }),
  );
});

test("an empty encoding is JSON, bytes are bytes, others are refused by name", (t) => {
  const data = Buffer.from("[1]");
  t.deepEqual(decodePayload(create(PayloadSchema, { data })), [1]);
  t.deepEqual(decodePayload(encodePayload(new Uint8Array([1, 255]))), new Uint8Array([1, 255]));
  t.is(encodePayload(Buffer.from("x")).encoding, "bytes");
  t.is(decodePayload(undefined), undefined);
  t.throws(() => decodePayload(create(PayloadSchema, { data, encoding: "msgpack" })), {
    message: /"msgpack"/,
  });
});

test("undefined fields are left out, dates become text, small BigInts become numbers", (t) => {
  const at = new Date(Date.UTC(2026, 0, 2, 3, 4, 5));
  const encoded = encodePayload({
    a: undefined,
    at,
    big: 9_007_199_254_740_991n,
    nested: { toJSON: () => [1n] },
  });
  t.deepEqual(decodePayload(encoded), {
    at: "2026-01-02T03:04:05.000Z",
    big: 9_007_199_254_740_991,
    nested: [1],
  });
});

const cycle: { self?: unknown } = {};
cycle.self = [cycle];
const sparse = [1, , 2];
const refused: ReadonlyArray<readonly [unknown, RegExp]> = [
  [undefined, /^value is undefined/],
  [{ a: [0, () => 1] }, /^value\.a\[1\] is a function/],
  [{ a: Symbol("s") }, /^value\.a is a symbol/],
  [{ a: Number.NaN }, /^value\.a is NaN/],
  [[Infinity], /^value\[0\] is Infinity/],
  [2n ** 53n, /^value is a BigInt beyond/],
  [[-(2n ** 53n)], /^value\[0\] is a BigInt beyond/],
  [{ m: new Map() }, /^value\.m is a Map; pass Object.fromEntries/],
  [new Set([1]), /^value is a Set/],
  [{ p: Promise.resolve(1) }, /^value\.p is a Promise; await it/],
  [{ b: new Uint8Array(2) }, /^value\.b is binary; pass base64/],
  [{ b: Buffer.from("x") }, /^value\.b is binary/],
  [{ d: new Date(Number.NaN) }, /^value\.d is an invalid Date/],
  [{ e: new Error("x") }, /^value\.e is an Error/],
  [{ r: /x/ }, /^value\.r is a RegExp/],
  [cycle, /^value\.self\[0\] contains itself/],
  [sparse, /^value\[1\] is undefined; use null/],
];

for (const [value, message] of refused) {
  test(`refused with its path: ${message.source}`, (t) => {
    const error = t.throws(() => encodePayload(value), { instanceOf: HeadraceError, message });
    t.is(error.reason, "INVALID_PAYLOAD");
  });
}

test("the same object twice is not a cycle", (t) => {
  const shared = { a: 1 };
  t.deepEqual(decodePayload(encodePayload([shared, { shared }])), [{ a: 1 }, { shared: { a: 1 } }]);
});

test("durations", (t) => {
  const good: ReadonlyArray<readonly [number | string, number]> = [
    [0, 0],
    [1500.4, 1500],
    ["500ms", 500],
    ["10s", 10_000],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["2d", 172_800_000],
    ["1.5h", 5_400_000],
    ["1h30m", 5_400_000],
    ["0s", 0],
  ];
  for (const [value, ms] of good) t.is(parseDuration(value, "x"), ms, String(value));
  for (const bad of ["", "10", "s", "10 s", "-1s", "1w", "1h-2m", "1e3s", -1, Number.NaN, Infinity]) {
    const error = t.throws(() => parseDuration(bad, "retry.maxInterval"), { instanceOf: HeadraceError });
    t.is(error.field, "retry.maxInterval");
  }
});

test("a failure is cut to its limits between characters, and its causes to five", (t) => {
  let error = new Error("deepest");
  for (let i = 0; i < 10; i++) error = new Error(`${i}${"é".repeat(5_000)}`, { cause: error });
  let failure: ReturnType<typeof failureOf> | undefined = failureOf(error);
  let depth = 0;
  for (; failure !== undefined; failure = failure.cause) {
    depth += 1;
    const bytes = Buffer.byteLength(failure.message);
    t.true(bytes <= 4_096 && bytes > 4_090, `${bytes}`);
    t.false(failure.message.includes("\u{fffd}"));
    t.true(Buffer.byteLength(failure.stackTrace) <= 16_384);
  }
  t.is(depth, 5);
});

test("a failure of a nested execution keeps its type; a cycle of causes ends", (t) => {
  const nested = new ExecutionFailedError({
    executionId: "e",
    status: "FAILED",
    reason: "HANDLER_FAILED",
    message: "inner",
  });
  nested.cause = nested;
  t.is(failureOf(nested).errorType, "ExecutionFailedError");
  t.is(failureOf(Object.create(null)).message, "a value that has no text form was thrown");
});

test("execution ids are UUIDv7 of their time and differ", (t) => {
  const ids = Array.from({ length: 2_000 }, () => uuidv7(0x0190_b1f2_aabb));
  t.is(new Set(ids).size, 2_000);
  for (const id of ids) t.regex(id, /^0190b1f2-aabb-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
