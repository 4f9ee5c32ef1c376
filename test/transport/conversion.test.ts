import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import test from "ava";
import fc from "fast-check";
import { HeadraceError } from "../../server/core/errors.js";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import { EXECUTION_STATUSES, TASK_STATUSES } from "../../server/core/status.js";
import type { TaskSpec, WorkflowSpec } from "../../server/core/workflow-spec.js";
import type { Assignment } from "../../server/engine/api.js";
import { FailureSchema, PayloadSchema } from "../../server/gen/headrace/v1/payload_pb.js";
import { AssignmentSchema } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { WorkflowSchema } from "../../server/gen/headrace/v1/workflow_pb.js";
import {
  assignmentBytesMax,
  assignmentMessage,
  convertAttemptRef,
} from "../../server/transport/convert-attempt.js";
import { convertReportedFailure, failureMessage } from "../../server/transport/convert-failure.js";
import { convertPayload, JSON_DEPTH_MAX } from "../../server/transport/convert-payload.js";
import {
  convertExecutionStatuses,
  convertTaskStatuses,
  executionStatusNumber,
  taskStatusNumber,
} from "../../server/transport/convert-status.js";
import {
  convertDuration,
  convertTimestamp,
  durationOf,
  timestampOf,
} from "../../server/transport/convert-time.js";
import { convertWorkflow, workflowMessage } from "../../server/transport/convert-workflow.js";
import { FieldCheck } from "../../server/transport/field-check.js";
import { EXECUTION_ID } from "../support/scripted-engine.js";

const text = fc.string({ unit: "grapheme", maxLength: 30 }).filter((value) => !value.includes("\0"));
const filled = text.filter((value) => value !== "");
const ms = fc.integer({ min: 0, max: 10 * 365 * 86_400_000 });

/** A record of optional fields in which absent ones are absent, as the types ask. */
function sparse<T extends object>(model: { [Name in keyof T]: fc.Arbitrary<T[Name]> }): fc.Arbitrary<T> {
  return fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<T>;
}

function unlessEmpty<T extends object>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return arbitrary.filter((value) => Object.keys(value).length > 0);
}

const dictionary = unlessEmpty(fc.dictionary(filled, text, { maxKeys: 4, noNullPrototype: true }));
const payload = fc.json().map((json) => ({ data: new Uint8Array(Buffer.from(json)), encoding: "json" }));

const input = fc.oneof(
  filled.map((expression) => ({ kind: "expression" as const, expression })),
  fc
    .dictionary(filled, filled, { noNullPrototype: true })
    .map((fields) => ({ kind: "fields" as const, fields })),
  payload.map((value) => ({ kind: "literal" as const, payload: value })),
);

const task: fc.Arbitrary<TaskSpec> = fc
  .tuple(
    filled,
    sparse<Omit<TaskSpec, "id">>({
      handler: filled,
      queue: filled,
      dependsOn: fc.array(filled, { minLength: 1, maxLength: 3 }),
      input: input,
      retry: unlessEmpty(
        sparse<NonNullable<TaskSpec["retry"]>>({
          maxAttempts: fc.integer({ min: 0, max: 2_000 }),
          initialIntervalMs: ms,
          backoff: fc.constantFrom("FIXED", "LINEAR", "EXPONENTIAL"),
          factor: fc.double({ noNaN: true }),
          maxIntervalMs: ms,
          jitter: fc.double({ min: 0, max: 1, noNaN: true }),
          nonRetryableErrorTypes: fc.array(filled, { minLength: 1, maxLength: 3 }),
          maxCrashes: fc.integer({ min: 0, max: 200 }),
        }),
      ),
      timeouts: unlessEmpty(
        sparse<NonNullable<TaskSpec["timeouts"]>>({
          queueMs: ms,
          attemptMs: ms,
          heartbeatMs: ms,
          totalMs: ms,
        }),
      ),
      priority: fc.integer({ min: -100, max: 100 }).filter((value) => value !== 0),
      description: filled,
      annotations: dictionary,
    }),
  )
  .map(([id, rest]) => ({ id, ...rest }));

const workflow: fc.Arbitrary<WorkflowSpec> = fc
  .tuple(
    fc.record({ name: filled, tasks: fc.array(task, { maxLength: 4 }) }),
    sparse<Omit<WorkflowSpec, "name" | "tasks">>({
      description: filled,
      inputSchema: filled,
      output: filled,
      deadlineMs: ms,
      labels: dictionary,
    }),
  )
  .map(([required, rest]) => ({ ...required, ...rest }));

test("any workflow survives the way over the wire and back", (t) => {
  fc.assert(
    fc.property(workflow, (spec) => {
      const stored = {
        name: spec.name,
        version: "v",
        spec,
        description: "",
        taskCount: 0,
        createdAtMs: 0,
        latest: true,
      };
      const bytes = toBinary(WorkflowSchema, create(WorkflowSchema, workflowMessage(stored)));
      const back = convertWorkflow(fromBinary(WorkflowSchema, bytes).spec, DEFAULT_LIMITS);
      t.deepEqual(back.refused, []);
      t.deepEqual(plain(back.spec), plain(spec));
    }),
  );
  t.pass();
});

/** Bytes as numbers, so that a Buffer equals a Uint8Array. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, each: unknown) =>
      Object.is(each, -0) ? "-0" : typeof each === "number" ? String(each) : each,
    ),
    (_key, each: { type?: string; data?: object } | null) =>
      each?.type === "Buffer" ? { ...each.data } : each,
  );
}

test("every status has its number, and the number its status", (t) => {
  const check = new FieldCheck();
  const executions = EXECUTION_STATUSES.map(executionStatusNumber);
  t.deepEqual(convertExecutionStatuses(check, "f", executions), [...EXECUTION_STATUSES]);
  const tasks = TASK_STATUSES.map(taskStatusNumber);
  t.deepEqual(convertTaskStatuses(check, "f", tasks), [...TASK_STATUSES]);
  check.finish();
  t.is(new Set(tasks).size, TASK_STATUSES.length);
});

test("times survive the wire to the microsecond", (t) => {
  const check = new FieldCheck();
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e15 }), (micros) => {
      const value = micros / 1_000;
      t.true(Math.abs(convertTimestamp(check, "f", timestampOf(value))! - value) < 0.0005);
    }),
  );
  t.is(convertTimestamp(check, "f", timestampOf(-1)), -1);
  fc.assert(fc.property(ms, (value) => convertDuration(check, "f", durationOf(value)) === value));
  t.is(convertDuration(check, "f", { $typeName: "google.protobuf.Duration", seconds: 0n, nanos: 1 }), 1);
  t.is(durationOf(1_999.9999999).nanos, 999_999_999);
  check.finish();
});

const message = (data: string | Uint8Array, encoding = "") =>
  create(PayloadSchema, { data: typeof data === "string" ? Buffer.from(data) : data, encoding });
const convert = (data: string | Uint8Array, encoding = "") =>
  convertPayload("p", message(data, encoding), DEFAULT_LIMITS);

test("JSON payloads are what every language can read", (t) => {
  fc.assert(
    fc.property(
      fc.json(),
      (json) => Buffer.from(convert(json)!.data).toString() === Buffer.from(json).toString(),
    ),
  );
  const nested = (depth: number, pad = ""): string => `${"[".repeat(depth)}${pad}${"]".repeat(depth)}`;
  for (const good of [
    '"\\u0000"',
    '"\\ud83d\\ude00"',
    '"\\\\ud800"',
    nested(JSON_DEPTH_MAX),
    ` ${nested(3, `"${"[".repeat(9_000)}\\""`)} `,
  ]) {
    t.notThrows(() => convert(good), good.slice(0, 50));
  }
  const bad = [
    "",
    " ",
    "{a:1}",
    "NaN",
    "\ufeff1",
    '"\\udc00"',
    '{"\\ud800":1}',
    nested(JSON_DEPTH_MAX + 1),
    Buffer.from([0xc0, 0x80]),
  ];
  for (const each of bad) {
    const error = t.throws<HeadraceError>(() => convert(each), { instanceOf: HeadraceError });
    t.is(error.reason, "INVALID_FIELD");
    t.is(error.facts.field, "p.data");
  }
  t.is(convertPayload("p", undefined, DEFAULT_LIMITS), undefined);
  t.is(convert(Buffer.from([0xff]), "application/x-thing")?.encoding, "application/x-thing");
  t.is(convert("1")?.encoding, "json");
});

test("a payload does not keep a large network buffer alive", (t) => {
  const buffer = Buffer.alloc(100_000, "1");
  const small = convert(buffer.subarray(10, 20));
  t.true(small!.data.buffer.byteLength <= 8_192 * 2);
  const large = convert(Buffer.from(`"${"x".repeat(90_000)}"`));
  t.is(large?.data.length, 90_002);
});

test("an assignment never takes more bytes than were counted", (t) => {
  const assignment: fc.Arbitrary<Assignment> = fc.record({
    attempt: fc.record({
      executionId: fc.constant(EXECUTION_ID),
      taskId: filled,
      mapIndex: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      attempt: fc.integer({ min: 1, max: 1_000 }),
      lease: fc.maxSafeNat().map((value) => Math.max(1, value)),
    }),
    handler: filled,
    queue: filled,
    input: payload,
    workflow: filled,
    maxAttempts: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    crashes: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    deadlineAtMs: fc.option(fc.integer({ min: 0, max: 2e14 }), { nil: undefined }),
    heartbeatTimeoutMs: fc.option(ms, { nil: undefined }),
    heartbeatDetails: fc.option(payload, { nil: undefined }),
    traceparent: fc.constant(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`),
  });
  fc.assert(
    fc.property(assignment, (value) => {
      const bytes = toBinary(AssignmentSchema, assignmentMessage(value));
      const back = fromBinary(AssignmentSchema, bytes);
      t.deepEqual(
        convertAttemptRef("f", back.attempt, { ...DEFAULT_LIMITS, nameChars: 1_000 }),
        value.attempt,
      );
      return bytes.length <= assignmentBytesMax(value);
    }),
  );
  t.pass();
});

test("details of a failure that are too large are left out, and the message says so", (t) => {
  const details = (bytes: number) => ({ data: Buffer.alloc(bytes, "1"), encoding: "json" });
  const failureOf = (bytes: number) =>
    convertReportedFailure(
      "f",
      create(FailureSchema, { message: "m", details: details(bytes) }),
      DEFAULT_LIMITS,
    );
  t.like(failureOf(65_536), { message: "m", details: { encoding: "json" } });
  t.deepEqual(failureOf(65_537), {
    reason: "HANDLER_FAILED",
    message: "m (Its details are left out: 65537 bytes, the limit is 65536.)",
  });
});

test("a failure shows its chain of causes", (t) => {
  const cause = { reason: "HANDLER_FAILED", message: "inner", errorType: "E", retryAfterMs: 1_500 };
  const shown = failureMessage({ reason: "TASK_FAILED", message: "outer", taskId: "t", cause });
  t.like(shown, { reason: "TASK_FAILED", taskId: "t", nonRetryable: false });
  t.like(shown.cause, { message: "inner", errorType: "E", retryAfter: { seconds: 1n, nanos: 500_000_000 } });
});
