import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import test from "ava";
import {
  ListTasksRequestSchema,
  StartExecutionRequestSchema,
} from "../../server/gen/headrace/v1/execution_service_pb.js";
import { AckResult } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { PutWorkflowRequestSchema } from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { PLACE, refusalOf, speak, withBytes } from "../support/bad-request.js";
import { useDatabase, type TestDatabase } from "../support/database.js";
import { startServer } from "../support/server-process.js";
import { Wire } from "../support/wire.js";

const MIB = 1024 * 1024;
const INVALID_UTF8 = [0x61, 0xff, 0x62] as const;
/** How some languages encode half a surrogate pair; UTF-8 has no such bytes. */
const LONE_SURROGATE = [0xed, 0xa0, 0x80] as const;
const unknown = 99 as never;
const hello = { workerName: "raw", handlers: ["h"], queues: ["default"], credit: 0 };
const helloMessage = { message: { case: "hello", value: hello } } as const;
const someAttempt = { executionId: randomUUID(), taskId: "a", mapIndex: -1, attempt: 1, lease: 1n };

function put(spec: object) {
  return (wire: Wire) =>
    wire.workflows.unary("putWorkflow", { spec: { name: "bad", tasks: [{ id: "a" }], ...spec } });
}

function start(fields: object) {
  return (wire: Wire) => wire.executions.unary("startExecution", { start: { workflow: "good", ...fields } });
}

function json(value: unknown) {
  return { data: Buffer.from(JSON.stringify(value)), encoding: "json" };
}

function jsonOfBytes(bytes: number) {
  return { data: Buffer.from(JSON.stringify("x".repeat(bytes - 2))), encoding: "json" };
}

function tasks(count: number) {
  return Array.from({ length: count }, (_, index) => ({ id: `t${index}` }));
}

interface BadInput {
  readonly ask: (wire: Wire) => Promise<unknown>;
  readonly code: keyof typeof status;
  readonly reason: string;
  /** The first field that is named. */
  readonly field?: string;
}

const INVALID = { code: "INVALID_ARGUMENT", reason: "INVALID_FIELD" } as const;
const INVALID_WORKFLOW = { code: "INVALID_ARGUMENT", reason: "INVALID_WORKFLOW" } as const;
const MALFORMED = { code: "INVALID_ARGUMENT", reason: "MALFORMED_REQUEST" } as const;
const VIOLATION = { code: "FAILED_PRECONDITION", reason: "PROTOCOL_VIOLATION" } as const;

const BAD_INPUT: Readonly<Record<string, BadInput>> = {
  "bytes that are no message": {
    ask: (wire) => wire.executions.unary("startExecution", Buffer.from("not a message")),
    ...MALFORMED,
  },
  "bytes that are no message on a stream": { ask: (wire) => speak(wire, Buffer.from("no")), ...MALFORMED },
  "invalid UTF-8 in a name": {
    ask: (wire) =>
      wire.workflows.unary(
        "putWorkflow",
        withBytes(PutWorkflowRequestSchema, { spec: { name: PLACE } }, INVALID_UTF8),
      ),
    ...MALFORMED,
  },
  "a lone surrogate in a name": {
    ask: (wire) =>
      wire.workflows.unary(
        "putWorkflow",
        withBytes(PutWorkflowRequestSchema, { spec: { name: PLACE } }, LONE_SURROGATE),
      ),
    ...MALFORMED,
  },
  "a lone surrogate in a label": {
    ask: (wire) => {
      const request = { start: { workflow: "good", labels: { team: PLACE } } };
      return wire.executions.unary(
        "startExecution",
        withBytes(StartExecutionRequestSchema, request, LONE_SURROGATE),
      );
    },
    ...MALFORMED,
  },
  "invalid UTF-8 in an id": {
    ask: (wire) =>
      wire.executions.unary(
        "listTasks",
        withBytes(ListTasksRequestSchema, { executionId: PLACE }, INVALID_UTF8),
      ),
    ...MALFORMED,
  },
  "an escaped lone surrogate in an input": {
    ask: start({ input: { data: Buffer.from('"\\ud800"'), encoding: "json" } }),
    ...INVALID,
    field: "start.input.data",
  },
  "invalid UTF-8 in an input": {
    ask: start({ input: { data: Buffer.from([0x22, 0xff, 0x22]), encoding: "json" } }),
    ...INVALID,
    field: "start.input.data",
  },
  "an input that is no JSON": {
    ask: start({ input: { data: Buffer.from("{"), encoding: "json" } }),
    ...INVALID,
    field: "start.input.data",
  },
  "an encoding that is none": {
    ask: start({ input: { data: Buffer.from("x"), encoding: "No such" } }),
    ...INVALID,
    field: "start.input.encoding",
  },
  "NUL in a label": { ask: start({ labels: { team: "a\0b" } }), ...INVALID, field: 'start.labels["team"]' },
  "NUL in the key of a label": {
    ask: start({ labels: { "a\0b": "x" } }),
    ...INVALID,
    field: "start.labels key",
  },
  "NUL in a workflow's name": { ask: put({ name: "a\0b" }), ...INVALID_WORKFLOW, field: "name" },
  "NUL in the name to start": { ask: start({ workflow: "a\0b" }), ...INVALID, field: "start.workflow" },
  "NUL in a namespace": {
    ask: (wire) => wire.workflows.unary("listWorkflows", { namespace: "a\0b" }),
    ...INVALID,
    field: "namespace",
  },
  "a trigger rule that is not known": {
    ask: put({ tasks: [{ id: "a", triggerRule: unknown }] }),
    ...INVALID_WORKFLOW,
    field: "tasks[0].trigger_rule",
  },
  "a kind of task that is not known": {
    ask: put({ tasks: [{ id: "a", kind: unknown }] }),
    ...INVALID_WORKFLOW,
    field: "tasks[0].kind",
  },
  "a backoff that is not known": {
    ask: put({ tasks: [{ id: "a", retry: { backoff: unknown } }] }),
    ...INVALID_WORKFLOW,
    field: "tasks[0].retry.backoff",
  },
  "a cache mode that is not known": {
    ask: start({ cacheMode: unknown }),
    ...INVALID,
    field: "start.cache_mode",
  },
  "a status that is not known": {
    ask: (wire) => wire.executions.unary("listExecutions", { filter: { statuses: [unknown] } }),
    ...INVALID,
    field: "filter.statuses[0]",
  },
  "no start": { ask: (wire) => wire.executions.unary("startExecution", {}), ...INVALID, field: "start" },
  "no workflow to start": { ask: start({ workflow: "" }), ...INVALID, field: "start.workflow" },
  "no spec": { ask: (wire) => wire.workflows.unary("putWorkflow", {}), ...INVALID, field: "spec" },
  "no tasks": { ask: put({ tasks: [] }), ...INVALID_WORKFLOW, field: "tasks" },
  "a task without an id": { ask: put({ tasks: [{}] }), ...INVALID_WORKFLOW, field: "tasks[0].id" },
  "no execution id": {
    ask: (wire) => wire.executions.unary("getExecution", {}),
    ...INVALID,
    field: "execution_id",
  },
  "a cycle": {
    ask: put({
      tasks: [
        { id: "a", dependsOn: ["c"] },
        { id: "b", dependsOn: ["a"] },
        { id: "c", dependsOn: ["b"] },
      ],
    }),
    ...INVALID_WORKFLOW,
    field: "tasks[0].depends_on[0]",
  },
  "a task that depends on itself": {
    ask: put({ tasks: [{ id: "a", dependsOn: ["a"] }] }),
    ...INVALID_WORKFLOW,
    field: "tasks[0].depends_on[0]",
  },
  "an unknown dependency": {
    ask: put({ tasks: [{ id: "a", dependsOn: ["b"] }] }),
    ...INVALID_WORKFLOW,
    field: "tasks[0].depends_on[0]",
  },
  "an id twice": {
    ask: put({ tasks: [{ id: "a" }, { id: "a" }] }),
    ...INVALID_WORKFLOW,
    field: "tasks[1].id",
  },
  "a name over its limit": { ask: put({ name: "n".repeat(201) }), ...INVALID_WORKFLOW, field: "name" },
  "10,001 tasks": { ask: put({ tasks: tasks(10_001) }), ...INVALID_WORKFLOW, field: "tasks" },
  "a payload 1 byte over its limit": {
    ask: start({ input: jsonOfBytes(2 * MIB + 1) }),
    code: "INVALID_ARGUMENT",
    reason: "PAYLOAD_TOO_LARGE",
    field: "start.input",
  },
  "a message over its limit": {
    ask: start({ input: jsonOfBytes(4 * MIB) }),
    code: "RESOURCE_EXHAUSTED",
    reason: "MESSAGE_TOO_LARGE",
  },
  "CEL that does not parse": {
    ask: put({ tasks: [{ id: "a", input: { source: { case: "expression", value: "input." } } }] }),
    ...INVALID_WORKFLOW,
    field: "tasks[0].input.expression",
  },
  "CEL that names an unknown task": {
    ask: put({ output: "tasks.b.output" }),
    ...INVALID_WORKFLOW,
    field: "output",
  },
  "CEL that is too long": {
    ask: put({ output: `${"1+".repeat(2_500)}1` }),
    ...INVALID_WORKFLOW,
    field: "output",
  },
  "CEL of too many nodes": {
    ask: put({ output: `${"1+".repeat(1_500)}1` }),
    ...INVALID_WORKFLOW,
    field: "output",
  },
  "a page token that nobody gave": {
    ask: (wire) => wire.executions.unary("listExecutions", { pageToken: "bm9uZQ" }),
    ...INVALID,
    field: "page_token",
  },
  "a page size over its limit": {
    ask: (wire) => wire.executions.unary("listExecutions", { pageSize: 1_001 }),
    ...INVALID,
    field: "page_size",
  },
  "an id that is no UUID": {
    ask: (wire) => wire.executions.unary("getExecution", { executionId: "42" }),
    ...INVALID,
    field: "execution_id",
  },
  "an id that nobody has": {
    ask: (wire) => wire.executions.unary("getExecution", { executionId: randomUUID() }),
    code: "NOT_FOUND",
    reason: "EXECUTION_NOT_FOUND",
  },
  "an own execution id that is no UUIDv7": {
    ask: start({ executionId: randomUUID() }),
    ...INVALID,
    field: "start.execution_id",
  },
  "a workflow that is not there": {
    ask: start({ workflow: "missing" }),
    code: "NOT_FOUND",
    reason: "WORKFLOW_NOT_FOUND",
  },
  "a version that is not there": {
    ask: start({ version: "abcdef" }),
    code: "NOT_FOUND",
    reason: "VERSION_NOT_FOUND",
  },
  "a deadline below zero": {
    ask: start({ deadline: { seconds: -1n } }),
    ...INVALID,
    field: "start.deadline",
  },
  "a report of no session": {
    ask: (wire) => wire.workers.unary("report", { sessionId: randomUUID(), reports: [] }),
    code: "NOT_FOUND",
    reason: "SESSION_NOT_FOUND",
  },
  "a stream that begins without Hello": {
    ask: (wire) => speak(wire, { message: { case: "beat", value: {} } }),
    ...VIOLATION,
  },
  "a second Hello": { ask: (wire) => speak(wire, helloMessage, helloMessage), ...VIOLATION },
  "an acknowledgement of what was not sent": {
    ask: (wire) => speak(wire, helloMessage, { receivedFrame: 9n, message: { case: "beat", value: {} } }),
    ...VIOLATION,
  },
  "credit below zero": {
    ask: (wire) => speak(wire, helloMessage, { message: { case: "credit", value: { add: -1 } } }),
    ...INVALID,
    field: "credit.add",
  },
  "credit below zero in the Hello": {
    ask: (wire) => speak(wire, { message: { case: "hello", value: { ...hello, credit: -1 } } }),
    ...INVALID,
    field: "hello.credit",
  },
  "a Hello without handlers": {
    ask: (wire) => speak(wire, { message: { case: "hello", value: { ...hello, handlers: [] } } }),
    ...INVALID,
    field: "hello.handlers",
  },
};

test.serial("bad input is refused with its code, reason and field, and changes nothing", async (t) => {
  const database = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl: database.url });
  const wire = Wire.open(t, address);
  await wire.workflows.unary("putWorkflow", { spec: { name: "good", tasks: [{ id: "a", handler: "h" }] } });
  await wire.executions.unary("startExecution", { start: { workflow: "good" } });
  const before = await contentOf(database);
  const surprises: string[] = [];
  for (const [what, { ask, code, reason, field = "" }] of Object.entries(BAD_INPUT)) {
    const refusal = await refusalOf(ask(wire));
    const [first] = refusal?.badRequest?.fieldViolations ?? [];
    const said = `${status[refusal?.code ?? 0]} ${refusal?.info.reason} ${first?.field ?? ""}`;
    if (said !== `${code} ${reason} ${field}`) surprises.push(`${what}: ${said}: ${refusal?.text}`);
    t.deepEqual(await contentOf(database), before, what);
  }
  t.deepEqual(surprises, []);
});

test.serial("a workflow that is wrong everywhere is told everything at once", async (t) => {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl });
  const wire = Wire.open(t, address);
  const literal = { data: Buffer.from("{"), encoding: "json" };
  const spec = {
    name: "n".repeat(201),
    description: "d".repeat(10_001),
    deadline: { seconds: -1n },
    labels: { team: "a\0b" },
    tasks: [
      {
        id: "a",
        when: "true",
        retry: { initialInterval: { seconds: -1n }, maxInterval: { nanos: 1_000_000 } },
      },
      { id: "b", input: { source: { case: "literal" as const, value: literal } }, annotations: { "": "x" } },
      { id: "c", triggerRule: unknown, dependsOn: ["missing"], input: {} },
    ],
    output: `${"1+".repeat(2_500)}1`,
  };
  const { valid, problems } = await wire.workflows.unary("validateWorkflow", { spec });
  const found = problems.map(({ path, reason }) => `${path} ${reason}`);
  t.false(valid);
  t.deepEqual(found, [
    "deadline INVALID_FIELD",
    "description TOO_LONG",
    'labels["team"] INVALID_TEXT',
    "name INVALID_NAME",
    "output EXPRESSION_TOO_COMPLEX",
    "tasks[0].retry.initial_interval INVALID_FIELD",
    "tasks[0].when NOT_SUPPORTED_YET",
    'tasks[1].annotations[""] EMPTY',
    "tasks[1].input.literal.data INVALID_FIELD",
    "tasks[2].depends_on[0] UNKNOWN_DEPENDENCY",
    "tasks[2].input INVALID_FIELD",
    "tasks[2].trigger_rule INVALID_FIELD",
  ]);
  const refusal = await refusalOf(wire.workflows.unary("putWorkflow", { spec }));
  t.is(refusal?.info.reason, "INVALID_WORKFLOW");
  t.deepEqual(
    refusal?.badRequest?.fieldViolations.map(({ field, reason }) => `${field} ${reason}`),
    found,
  );
});

test.serial("what is exactly at a limit, or looks bad and is none, is taken as it is", async (t) => {
  const database = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl: database.url });
  const wire = Wire.open(t, address);
  await put({ name: "n".repeat(200) })(wire);
  await put({ name: "many", tasks: tasks(10_000) })(wire);
  const fields = new Map([
    ["__proto__", "input.__proto__"],
    ["constructor", "input.constructor"],
  ]);
  const mapping = { source: { case: "fields", value: { fields: Object.fromEntries(fields) } } } as const;
  await put({ name: "good", tasks: [{ id: "a", handler: "h", input: mapping }], output: "tasks.a.output" })(
    wire,
  );

  const large = await start({ workflow: "n".repeat(200), input: jsonOfBytes(2 * MIB) })(wire);
  t.is((await wire.execution(large.executionId)).input?.data.length, 2 * MIB);

  const text = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
  const labels = Object.fromEntries([
    ["__proto__", "label"],
    ["constructor", "label"],
  ]);
  const { executionId } = await start({ input: { data: Buffer.from(text) }, labels })(wire);
  const execution = await wire.execution(executionId);
  t.is(Buffer.from(execution.input!.data).toString(), text);
  t.deepEqual(Object.entries(execution.labels).sort(), Object.entries(labels).sort());
  const filtered = await wire.executions.unary("listExecutions", { filter: { labels } });
  t.deepEqual(
    filtered.executions.map((each) => each.executionId),
    [executionId],
  );

  const poll = {
    workerName: "raw",
    handlers: ["h"],
    queues: ["default"],
    maxTasks: 1,
    wait: { seconds: 10n },
  };
  const { sessionId, assignments } = await wire.workers.unary("poll", poll);
  t.deepEqual(entriesOf(assignments[0]!.input), entriesOf({ data: Buffer.from(text) }));
  const attempt = assignments[0]!.attempt!;
  const outcome = {
    case: "success",
    value: { output: { data: Buffer.from(text), encoding: "json" } },
  } as const;
  const { acks } = await wire.workers.unary("report", { sessionId, reports: [{ attempt, outcome }] });
  t.is(acks[0]?.result, AckResult.COMMITTED);
  t.deepEqual(
    JSON.parse(Buffer.from((await wire.execution(executionId)).output!.data).toString()),
    JSON.parse(text),
  );
  const clean = await start({ workflow: "good", input: json({}) })(wire);
  t.deepEqual((await wire.execution(clean.executionId)).labels, {}, "nothing was polluted");
});

test.serial("reports of what is not the worker's are answered one by one, and change nothing", async (t) => {
  const database = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl: database.url });
  const wire = Wire.open(t, address);
  await put({ name: "good", tasks: [{ id: "a", handler: "h" }] })(wire);
  await start({})(wire);
  const poll = {
    workerName: "raw",
    handlers: ["h"],
    queues: ["default"],
    maxTasks: 1,
    wait: { seconds: 10n },
  };
  const owner = await wire.workers.unary("poll", poll);
  const other = await wire.workers.unary("poll", { ...poll, handlers: ["none"], maxTasks: 0 });
  const mine = owner.assignments[0]!.attempt!;
  const outcome = { case: "success", value: {} } as const;
  const before = await contentOf(database);
  const { acks } = await wire.workers.unary("report", {
    sessionId: other.sessionId,
    reports: [
      { attempt: mine, outcome },
      { attempt: someAttempt, outcome },
      { attempt: { ...mine, taskId: "b" }, outcome },
      { attempt: { ...mine, lease: mine.lease + 1n }, outcome },
      { attempt: { ...mine, attempt: 2 }, outcome },
      { attempt: mine },
    ],
  });
  const tooLarge = { case: "success", value: { output: jsonOfBytes(2 * MIB + 1) } } as const;
  const refused = await wire.workers.unary("report", {
    sessionId: owner.sessionId,
    reports: [{ attempt: mine, outcome: tooLarge }],
  });
  t.like(refused.acks[0], { result: AckResult.REJECTED, reason: "PAYLOAD_TOO_LARGE" });
  t.deepEqual(
    acks.map(({ result, reason }) => [result, reason]),
    [
      [AckResult.STALE, "FOREIGN_SESSION"],
      [AckResult.STALE, "UNKNOWN_TASK"],
      [AckResult.STALE, "UNKNOWN_TASK"],
      [AckResult.STALE, "NOT_HANDED_OUT"],
      [AckResult.STALE, "NOT_HANDED_OUT"],
      [AckResult.REJECTED, "INVALID_FIELD"],
    ],
  );
  t.deepEqual(await contentOf(database), before);
  const committed = await wire.workers.unary("report", {
    sessionId: owner.sessionId,
    reports: [{ attempt: mine, outcome }],
  });
  t.is(committed.acks[0]?.result, AckResult.COMMITTED);
});

test.serial("an expression that costs too much fails its execution, and nothing else", async (t) => {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl });
  const wire = Wire.open(t, address);
  const square = "input.map(a, input.map(b, input.map(c, a + b + c)))";
  const input = { source: { case: "expression", value: square } } as const;
  await put({ name: "costly", tasks: [{ id: "a", handler: "h", input }] })(wire);
  const wait = { seconds: 20n };
  const items = json(Array.from({ length: 200 }, (_, index) => index));
  const startedAtMs = performance.now();
  const { execution } = await wire.executions.unary("startExecution", {
    start: { workflow: "costly", input: items },
    wait,
  });
  const { taskId, message, cause } = execution!.failure!;
  t.is(taskId, "a");
  t.regex(cause?.message ?? message, /steps/);
  t.true(performance.now() - startedAtMs < 5_000);
  t.is((await wire.workflows.unary("listWorkflows", {})).workflows.length, 1);
});

/** The members of a JSON object, whatever their names. */
function entriesOf(payload: { readonly data: Uint8Array } | undefined): unknown {
  return Object.entries(JSON.parse(Buffer.from(payload!.data).toString()) as object).sort();
}

/** Everything that clients can change. */
async function contentOf({ pool }: TestDatabase): Promise<unknown> {
  const tables = ["workflows", "workflow_versions", "executions", "tasks"];
  const parts = tables.map(
    (table) => `(select jsonb_agg(r order by r::text) from headrace.${table} r) as ${table}`,
  );
  const { rows } = await pool.query({ text: `select ${parts.join(", ")}` });
  return rows[0];
}
