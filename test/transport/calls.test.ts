import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { Metadata, status as GrpcCode, type ServiceError } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";
import { HeadraceError, REASONS } from "../../server/core/errors.js";
import type { WorkflowSpec } from "../../server/core/workflow-spec.js";
import type { WatchUpdate } from "../../server/engine/api.js";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../server/gen/grpc/health/v1/health_pb.js";
import { CacheMode, ExecutionStatus } from "../../server/gen/headrace/v1/execution_pb.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import { WorkerService } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { TaskKind, TriggerRule } from "../../server/gen/headrace/v1/workflow_pb.js";
import {
  PutWorkflowRequestSchema,
  WorkflowService,
} from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { failureOf, GrpcClient, type FailedCall } from "../support/grpc-client.js";
import { EXECUTION_ID, executionView, taskView } from "../support/scripted-engine.js";
import { startTestEdge, type TestEdge } from "../support/test-edge.js";

const run = promisify(execFile);

async function withEdge(
  t: ExecutionContext,
  options?: Parameters<typeof startTestEdge>[0],
): Promise<TestEdge> {
  const edge = await startTestEdge(options);
  t.teardown(() => edge.close(0));
  return edge;
}

function workflows(t: ExecutionContext, edge: TestEdge): GrpcClient<typeof WorkflowService> {
  const client = new GrpcClient(WorkflowService, edge.address);
  t.teardown(() => client.close());
  return client;
}

function executions(t: ExecutionContext, edge: TestEdge): GrpcClient<typeof ExecutionService> {
  const client = new GrpcClient(ExecutionService, edge.address);
  t.teardown(() => client.close());
  return client;
}

async function failure(t: ExecutionContext, call: Promise<unknown>): Promise<FailedCall> {
  const error = await t.throwsAsync<ServiceError>(call as Promise<never>);
  return failureOf(error);
}

const json = (value: unknown): { data: Uint8Array; encoding: string } => ({
  data: Buffer.from(JSON.stringify(value)),
  encoding: "",
});

test("a unary call converts the request, reaches the engine and answers", async (t) => {
  const edge = await withEdge(t);
  const seen: Array<{ namespace: string; spec: WorkflowSpec }> = [];
  edge.engine.workflows.put = async (namespace, spec) => {
    seen.push({ namespace, spec });
    return { name: spec.name, version: "0".repeat(32), created: true };
  };
  const answer = await workflows(t, edge).unary("putWorkflow", {
    spec: {
      name: "order",
      description: "",
      deadline: { seconds: 60n, nanos: 1 },
      labels: { team: "blue" },
      tasks: [
        {
          id: "a",
          handler: "A",
          retry: { maxAttempts: 5, initialInterval: { seconds: 1n, nanos: 500_000_000 } },
        },
        {
          id: "b",
          dependsOn: ["a"],
          retry: {},
          timeouts: {},
          input: { source: { case: "literal", value: json(1) } },
        },
      ],
    },
  });
  t.like(answer, { name: "order", created: true });
  t.deepEqual(seen, [
    {
      namespace: "default",
      spec: {
        name: "order",
        deadlineMs: 60_001,
        labels: { team: "blue" },
        tasks: [
          { id: "a", handler: "A", retry: { maxAttempts: 5, initialIntervalMs: 1_500 } },
          {
            id: "b",
            dependsOn: ["a"],
            input: { kind: "literal", payload: { data: Buffer.from("1"), encoding: "json" } },
          },
        ],
      },
    },
  ]);
});

test("a stored workflow comes back as it was put", async (t) => {
  const edge = await withEdge(t);
  const spec: WorkflowSpec = {
    name: "order",
    tasks: [
      {
        id: "a",
        priority: -3,
        input: { kind: "fields", fields: { x: "input.x" } },
        retry: { backoff: "LINEAR", factor: 3, maxIntervalMs: 1_234.5, nonRetryableErrorTypes: ["Bad"] },
        timeouts: { queueMs: 1, attemptMs: 2, heartbeatMs: 3, totalMs: 4 },
      },
    ],
    deadlineMs: 90_061_001,
  };
  const client = workflows(t, edge);
  edge.engine.workflows.get = async (_namespace, name, version) => ({
    ...{ name, version, spec, description: "", taskCount: 1, createdAtMs: 1_700_000_000_000, latest: true },
  });
  const { workflow } = await client.unary("getWorkflow", {
    namespace: "n",
    name: "order",
    version: "abcdef",
  });
  let again: WorkflowSpec | undefined;
  edge.engine.workflows.put = async (_namespace, value) => {
    again = value;
    return { name: value.name, version: "", created: false };
  };
  await client.unary("putWorkflow", { spec: workflow!.spec! });
  // A duration carries nanoseconds; the engine's is whole milliseconds, rounded up.
  const [task] = spec.tasks;
  t.deepEqual(again, { ...spec, tasks: [{ ...task!, retry: { ...task!.retry, maxIntervalMs: 1_235 } }] });
});

test("everything of a workflow that is not supported yet is refused at once, with each path", async (t) => {
  const edge = await withEdge(t);
  const failed = await failure(
    t,
    workflows(t, edge).unary("putWorkflow", {
      spec: {
        name: "order",
        onFailure: { id: "x" },
        concurrency: { limit: 1 },
        tasks: [
          {
            id: "a",
            when: "true",
            triggerRule: TriggerRule.ALL_DONE,
            cache: {},
            concurrency: [{}],
            rateLimits: [{}],
          },
          {
            id: "b",
            workerLabels: { gpu: "1" },
            map: {},
            kind: TaskKind.SLEEP,
            sleep: {},
            signal: {},
            workflow: {},
          },
          { id: "c", optional: true },
        ],
      },
    }),
  );
  t.is(failed.code, GrpcCode.UNIMPLEMENTED);
  t.is(failed.info.reason, "NOT_SUPPORTED_YET");
  t.deepEqual(failed.badRequest?.fieldViolations.map(({ field }) => field).sort(), [
    "concurrency",
    "on_failure",
    ...["cache", "concurrency", "rate_limits", "trigger_rule", "when"].map((field) => `tasks[0].${field}`),
    ...["kind", "map", "signal", "sleep", "worker_labels", "workflow"].map((field) => `tasks[1].${field}`),
    "tasks[2].optional",
  ]);
  const client = executions(t, edge);
  const start = { workflow: "order", startAt: { seconds: 1n }, cacheMode: CacheMode.REFRESH };
  const refused = await failure(t, client.unary("startExecution", { start }));
  t.deepEqual(
    refused.badRequest?.fieldViolations.map(({ field }) => field),
    ["start.start_at", "start.cache_mode"],
  );
  for (const name of ["signalExecution", "pauseExecution", "resumeExecution", "retryExecution"] as const) {
    t.is((await failure(t, client.unary(name, {}))).info.reason, "NOT_SUPPORTED_YET", name);
  }
  t.is((await failure(t, workflows(t, edge).unary("diffWorkflow", {}))).info.reason, "NOT_SUPPORTED_YET");
});

test("every reason leaves with its code, its remedy and whether to retry", async (t) => {
  const edge = await withEdge(t);
  const client = workflows(t, edge);
  for (const [reason, { code, retryable, remedy }] of Object.entries(REASONS)) {
    edge.engine.workflows.list = () =>
      Promise.reject(
        new HeadraceError(reason as keyof typeof REASONS, "It is wrong", {
          field: "a.b",
          limit: 5,
          actual: "sévèn\n\ud800",
          retryAfterMs: 1_500,
        }),
      );
    const failed = await failure(t, client.unary("listWorkflows", {}));
    t.is(failed.code, GrpcCode[code], reason);
    t.is(failed.text, `It is wrong. ${remedy}`);
    t.like(failed.info, { reason, domain: "headrace" });
    t.deepEqual(failed.info.metadata, {
      remedy,
      retryable: String(retryable),
      field: "a.b",
      limit: "5",
      actual: "sévèn \ufffd",
    });
    t.like(failed.retryInfo?.retryDelay, { seconds: 1n, nanos: 500_000_000 });
    t.is(failed.quotaFailure !== undefined, code === "RESOURCE_EXHAUSTED");
    t.is(failed.badRequest !== undefined, code === "INVALID_ARGUMENT");
  }
});

test("an unknown error is INTERNAL with an id that the log has, and tells nothing else", async (t) => {
  const edge = await withEdge(t);
  edge.engine.workflows.list = () => Promise.reject(new TypeError("password is hunter2"));
  const failed = await failure(t, workflows(t, edge).unary("listWorkflows", {}));
  t.is(failed.code, GrpcCode.INTERNAL);
  t.false(JSON.stringify(failed.info.metadata).includes("hunter2") || failed.text.includes("hunter2"));
  const entry = await edge.log.entries.find(({ level }) => level === "error");
  t.true(failed.text.includes(String(entry.fields.errorId)));
  t.is((entry.fields.err as Error).message, "password is hunter2");
});

test("a thousand violations still fit the trailers of a call", async (t) => {
  const edge = await withEdge(t);
  const violations = Array.from({ length: 1_000 }, (_, index) => ({
    ...{ field: `tasks[${index}].depends_on[0]`, reason: "UNKNOWN_TASK", message: "ü".repeat(2_000) },
  }));
  edge.engine.workflows.put = () =>
    Promise.reject(new HeadraceError("INVALID_WORKFLOW", "ü".repeat(5_000), { violations }));
  const error = await t.throwsAsync<ServiceError>(
    workflows(t, edge).unary("putWorkflow", { spec: { name: "order" } }),
  );
  const failed = failureOf(error);
  const listed = failed.badRequest!.fieldViolations;
  t.is(listed.at(-1)?.description, `${1_001 - listed.length} more are not listed; correct these first.`);
  const [details] = error.metadata.get("grpc-status-details-bin") as Buffer[];
  t.true(details!.length * (4 / 3) + encodeURI(error.details).length < 8_192);
});

test("bytes that are no request are INVALID_ARGUMENT, never INTERNAL", async (t) => {
  const edge = await withEdge(t);
  const client = workflows(t, edge);
  const valid = Buffer.from(
    toBinary(PutWorkflowRequestSchema, create(PutWorkflowRequestSchema, { namespace: "abcdef" })),
  );
  const invalidUtf8 = Buffer.from(valid);
  invalidUtf8[4] = 0xff;
  const malformed = [
    Buffer.from("not a message"),
    valid.subarray(0, 4),
    Buffer.from([0x0a, 0xff]),
    invalidUtf8,
  ];
  for (const bytes of malformed) {
    const failed = await failure(t, client.unary("putWorkflow", bytes));
    t.is(failed.code, GrpcCode.INVALID_ARGUMENT, bytes.toString("hex"));
    t.is(failed.info.reason, "MALFORMED_REQUEST");
  }
  const duplex = new GrpcClient(ExecutionService, edge.address).duplex("streamExecutions");
  duplex.send(Buffer.from("not a message"));
  t.is(failureOf(await duplex.ended).info.reason, "MALFORMED_REQUEST");
});

test("unknown enum values are refused with the path of the field", async (t) => {
  const edge = await withEdge(t);
  const bad = 77 as never;
  const tasks = [{ id: "a", triggerRule: bad, kind: bad, retry: { backoff: bad } }];
  const put = await failure(t, workflows(t, edge).unary("putWorkflow", { spec: { name: "w", tasks } }));
  t.is(put.info.reason, "INVALID_WORKFLOW");
  t.deepEqual(
    put.badRequest?.fieldViolations.map(({ field }) => field),
    ["tasks[0].kind", "tasks[0].retry.backoff", "tasks[0].trigger_rule"],
  );
  const client = executions(t, edge);
  const start = await failure(
    t,
    client.unary("startExecution", { start: { workflow: "w", cacheMode: bad } }),
  );
  t.is(start.info.metadata.field, "start.cache_mode");
  const statuses = [ExecutionStatus.RUNNING, bad, ExecutionStatus.UNSPECIFIED];
  const list = await failure(t, client.unary("listExecutions", { filter: { statuses } }));
  t.deepEqual(
    list.badRequest?.fieldViolations.map(({ field }) => field),
    ["filter.statuses[1]", "filter.statuses[2]"],
  );
});

test("fields are checked before the engine is asked", async (t) => {
  const edge = await withEdge(t, { limits: { payloadBytes: 100 } });
  const client = executions(t, edge);
  const start = (changes: object) => client.unary("startExecution", { start: { workflow: "w", ...changes } });
  const cases: Array<[string, Promise<unknown>]> = [
    ["start", client.unary("startExecution", {})],
    ["start.workflow", start({ workflow: "" })],
    ["start.workflow", start({ workflow: "a\0b" })],
    ["start.execution_id", start({ executionId: "nonsense" })],
    ["start.execution_id", start({ executionId: "018f0000-0000-4000-8000-0000000000aa" })],
    ["start.priority", start({ priority: 101 })],
    ["start.deadline", start({ deadline: { seconds: -1n } })],
    ["start.deadline", start({ deadline: { seconds: 1n, nanos: 1_000_000_000 } })],
    ["start.deadline", start({ deadline: { seconds: 400_000_000n } })],
    [
      "start.labels",
      start({ labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, ""])) }),
    ],
    ["start.traceparent", start({ traceparent: "00-abc" })],
    ["start.input.data", start({ input: { data: Buffer.from("{nope") } })],
    ["start.input.data", start({ input: { data: Buffer.alloc(0) } })],
    ["start.input.data", start({ input: { data: Buffer.from([0x22, 0xff, 0x22]) } })],
    ["start.input.data", start({ input: { data: Buffer.from('{"a":["\\ud800"]}') } })],
    ["start.input.encoding", start({ input: { encoding: "JSON!" } })],
    ["wait", client.unary("startExecution", { start: { workflow: "w" }, wait: { seconds: 3_601n } })],
    ["execution_id", client.unary("getExecution", { executionId: "x" })],
    ["page_size", client.unary("listExecutions", { pageSize: 1_001 })],
    ["page_size", client.unary("listExecutions", { pageSize: -1 })],
    ["map_index", client.unary("getTask", { executionId: EXECUTION_ID, taskId: "t", mapIndex: -2 })],
    ["grace", client.unary("cancelExecution", { executionId: EXECUTION_ID, grace: { seconds: 3_601n } })],
    [
      "after_revision",
      drainStream(client.serverStream("watchExecution", { executionId: EXECUTION_ID, afterRevision: -1n })),
    ],
    ["starts", client.unary("startExecutions", { starts: Array.from({ length: 1_001 }, () => ({})) })],
    ["spec", workflows(t, edge).unary("putWorkflow", {})],
  ];
  for (const [field, call] of cases) {
    const failed = await failure(t, call);
    t.is(failed.code, GrpcCode.INVALID_ARGUMENT, field);
    t.is(failed.info.reason, "INVALID_FIELD", field);
    t.is(failed.info.metadata.field, field, failed.text);
  }
  const large = await failure(t, start({ input: json("x".repeat(100)) }));
  t.like(large.info, { reason: "PAYLOAD_TOO_LARGE" });
  t.like(large.info.metadata, { field: "start.input", limit: "100", actual: "102" });
});

async function drainStream(stream: AsyncIterable<unknown>): Promise<void> {
  const iterator = stream[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

test("a message beyond the limit is RESOURCE_EXHAUSTED with the numbers", async (t) => {
  const edge = await withEdge(t, { limits: { messageBytes: 10_000 } });
  const client = workflows(t, edge);
  const request = { spec: { name: "w", inputSchema: "x".repeat(10_000) } };
  const failed = await failure(t, client.unary("putWorkflow", request));
  t.is(failed.code, GrpcCode.RESOURCE_EXHAUSTED);
  t.is(failed.info.reason, "MESSAGE_TOO_LARGE");
  t.like(failed.info.metadata, { limit: "10000", field: "request" });
  t.true(Number(failed.info.metadata.actual) > 10_000);
  edge.engine.workflows.list = async () => ({ items: [], nextPageToken: "x".repeat(30_000) });
  const answer = await failure(t, client.unary("listWorkflows", {}));
  t.like(answer.info.metadata, { limit: "20000", field: "response" });
});

test("too much metadata is refused", async (t) => {
  const edge = await withEdge(t);
  edge.engine.workflows.list = async () => ({ items: [], nextPageToken: "" });
  const client = workflows(t, edge);
  const metadata = new Metadata();
  metadata.set("x-note", "x".repeat(20_000));
  const failed = await failure(t, client.unary("listWorkflows", {}, { metadata }));
  t.like(failed.info.metadata, { field: "metadata", limit: "16384" });
  metadata.set("x-note", "short");
  await t.notThrowsAsync(client.unary("listWorkflows", {}, { metadata }));
});

test("a malformed grpc-timeout is the caller's fault", async (t) => {
  const edge = await withEdge(t);
  const metadata = new Metadata();
  metadata.set("grpc-timeout", "soon");
  const failed = await failure(t, workflows(t, edge).unary("listWorkflows", {}, { metadata }));
  t.is(failed.info.reason, "MALFORMED_REQUEST");
});

test("a server stream sends each update and ends with OK", async (t) => {
  const edge = await withEdge(t);
  edge.engine.executions.watch = async function* (
    _namespace,
    executionId,
    { afterRevision },
  ): AsyncIterable<WatchUpdate> {
    for (let revision = afterRevision + 1; revision <= 50; revision++) {
      const tasks = [taskView({ executionId })];
      yield {
        execution: executionView({
          executionId,
          revision,
          output: { data: Buffer.from("1"), encoding: "json" },
        }),
        tasks,
      };
    }
  };
  const revisions: bigint[] = [];
  const stream = executions(t, edge).serverStream("watchExecution", {
    executionId: EXECUTION_ID,
    afterRevision: 10n,
  });
  for await (const { execution, tasks } of stream) {
    revisions.push(execution!.revision);
    t.is(execution!.input, undefined);
    t.is(execution!.output?.encoding, "json");
    t.is(tasks[0]?.input, undefined);
    t.like(tasks[0]?.progress, { done: 1, total: 4 });
  }
  t.is(revisions.length, 40);
  t.is(revisions.at(-1), 50n);
});

test("a caller that goes away aborts the signal of its call", async (t) => {
  const edge = await withEdge(t);
  const aborted = new Promise<void>((resolve) => {
    edge.engine.executions.watch = async function* (_namespace, _id, { signal }) {
      yield { execution: executionView(), tasks: [] };
      await new Promise((done) => signal.addEventListener("abort", done));
      resolve();
    };
  });
  const stream = executions(t, edge).serverStream("watchExecution", { executionId: EXECUTION_ID });
  const iterator = stream[Symbol.asyncIterator]();
  await iterator.next();
  stream.cancel();
  await t.throwsAsync(iterator.next(), { message: /Cancelled/ });
  await aborted;
  t.pass();
});

test("waiting ends with the execution, with WAIT_OVER, or with the deadline of the call", async (t) => {
  const edge = await withEdge(t);
  const client = executions(t, edge);
  const asked: number[] = [];
  let ended = false;
  edge.engine.executions.wait = async (_namespace, _id, { timeoutMs }) => {
    asked.push(timeoutMs);
    return ended ? executionView({ status: "COMPLETED" }) : undefined;
  };
  const request = { executionId: EXECUTION_ID.toUpperCase(), timeout: { seconds: 2n } };
  t.is((await failure(t, client.unary("waitExecution", request))).info.reason, "WAIT_OVER");
  await failure(
    t,
    client.unary("waitExecution", { executionId: EXECUTION_ID }, { deadline: Date.now() + 30_000 }),
  );
  ended = true;
  t.is(
    (await client.unary("waitExecution", { executionId: EXECUTION_ID })).execution?.status,
    ExecutionStatus.COMPLETED,
  );
  t.is(asked[0], 2_000);
  t.true(asked[1]! > 29_000 && asked[1]! < 30_000);
  t.is(asked[2], 3_600_000);
});

test("a start that waits answers with the end, with the time, and for a repeat with its end", async (t) => {
  const edge = await withEdge(t);
  const client = executions(t, edge);
  let created = true;
  let endsAtOnce = true;
  edge.engine.executions.start = async (_namespace, request) => {
    if (endsAtOnce) {
      setImmediate(() =>
        request.onEnd?.({
          executionId: EXECUTION_ID,
          status: "COMPLETED",
          output: undefined,
          failure: undefined,
        }),
      );
    }
    return { executionId: EXECUTION_ID, created, version: "v", traceId: "t" };
  };
  edge.engine.executions.get = async () => executionView({ status: endsAtOnce ? "COMPLETED" : "RUNNING" });
  const request = { start: { workflow: "w" }, wait: { seconds: 60n } };
  const first = await client.unary("startExecution", request);
  t.like(first, { executionId: EXECUTION_ID, created: true, version: "v", traceId: "t" });
  t.is(first.execution?.status, ExecutionStatus.COMPLETED);
  endsAtOnce = false;
  const second = await client.unary("startExecution", { ...request, wait: { nanos: 1_000_000 } });
  t.is(second.execution?.status, ExecutionStatus.RUNNING);
  created = false;
  edge.engine.executions.wait = async () => {
    endsAtOnce = true;
    return executionView({ status: "COMPLETED" });
  };
  t.is((await client.unary("startExecution", request)).execution?.status, ExecutionStatus.COMPLETED);
  t.is((await client.unary("startExecution", { start: { workflow: "w" } })).execution, undefined);
});

test("one refused start does not stop the others of its request", async (t) => {
  const edge = await withEdge(t);
  edge.engine.executions.start = async (_namespace, { workflow }) => {
    if (workflow === "gone")
      throw new HeadraceError("WORKFLOW_NOT_FOUND", "No such workflow", { field: "workflow" });
    return { executionId: EXECUTION_ID, created: true, version: "v", traceId: "t" };
  };
  const starts = [
    { workflow: "w" },
    { workflow: "gone" },
    { workflow: "w", priority: 1_000 },
    { workflow: "w" },
  ];
  const { results } = await executions(t, edge).unary("startExecutions", { starts });
  t.deepEqual(
    results.map(({ executionId, error }) => [executionId, error?.code, error?.reason, error?.field]),
    [
      [EXECUTION_ID, undefined, undefined, undefined],
      ["", GrpcCode.NOT_FOUND, "WORKFLOW_NOT_FOUND", "workflow"],
      ["", GrpcCode.INVALID_ARGUMENT, "INVALID_FIELD", "starts[2].priority"],
      [EXECUTION_ID, undefined, undefined, undefined],
    ],
  );
});

test("reads show what the engine knows, payloads only where they are asked for", async (t) => {
  const edge = await withEdge(t);
  const client = executions(t, edge);
  edge.engine.executions.get = async () =>
    executionView({
      failure: { reason: "TOTAL_TIMEOUT", message: "m", cause: { reason: "EMPTY", message: "c" } },
    });
  const { execution } = await client.unary("getExecution", { executionId: EXECUTION_ID });
  t.like(execution, { executionId: EXECUTION_ID, revision: 3n, taskCounts: { RUNNING: 1, COMPLETED: 2 } });
  t.like(execution?.createdAt, { seconds: 1_700_000_000n, nanos: 123_500_000 });
  t.is(execution?.failure?.cause?.message, "c");
  t.is(Buffer.from(execution!.input!.data).toString(), '{"a":1}');
  const request = { executionId: EXECUTION_ID, withoutPayloads: true };
  t.is((await client.unary("getExecution", request)).execution?.input, undefined);
  edge.engine.executions.list = async (_namespace, query) => {
    t.like(query, { pageSize: 50, pageToken: "", statuses: ["FAILED"], createdAfterMs: 1_000.5 });
    return { items: [executionView()], nextPageToken: "next" };
  };
  const filter = { statuses: [ExecutionStatus.FAILED], createdAfter: { seconds: 1n, nanos: 500_000 } };
  const list = await client.unary("listExecutions", { filter });
  t.is(list.nextPageToken, "next");
  t.is(list.executions[0]?.input, undefined);
  edge.engine.executions.getTask = async (_namespace, _id, taskId, mapIndex) => ({
    task: taskView({ taskId, mapIndex }),
    attempts: [
      {
        ...{
          attempt: 1,
          lease: 4,
          worker: "w0",
          readyAtMs: undefined,
          startedAtMs: undefined,
          finishedAtMs: 5_000,
        },
        ...{ failure: { reason: "HANDLER_FAILED", message: "no" }, retryDelayMs: 250 },
      },
    ],
  });
  const { task, attempts } = await client.unary("getTask", { executionId: EXECUTION_ID, taskId: "t" });
  t.like(task, { taskId: "t", mapIndex: -1, lease: 7n, maxAttempts: 3, crashes: 1 });
  t.like(attempts[0]?.retryDelay, { seconds: 0n, nanos: 250_000_000 });
  edge.engine.executions.explain = async () => ({
    status: "RUNNING",
    reasons: [
      {
        taskId: "t",
        mapIndex: -1,
        status: "READY",
        reason: "NO_WORKER",
        message: "m",
        untilMs: undefined,
        waitsFor: ["u"],
      },
    ],
  });
  const explained = await client.unary("explainExecution", { executionId: EXECUTION_ID });
  t.like(explained.reasons[0], { reason: "NO_WORKER", waitsFor: ["u"] });
  edge.engine.executions.cancel = async (_namespace, _id, { reason, graceMs }) => {
    t.deepEqual({ reason, graceMs }, { reason: "bored", graceMs: 30_000 });
    return { accepted: true, status: "RUNNING" };
  };
  t.true((await client.unary("cancelExecution", { executionId: EXECUTION_ID, reason: "bored" })).accepted);
});

test("validation lists what the edge refuses like what the engine finds", async (t) => {
  const edge = await withEdge(t);
  const client = workflows(t, edge);
  const spec = { name: "w", tasks: [{ id: "a", when: "true" }] };
  const refused = await client.unary("validateWorkflow", { spec });
  t.false(refused.valid);
  t.like(refused.problems[0], { path: "tasks[0].when", reason: "NOT_SUPPORTED_YET" });
  edge.engine.workflows.validate = async () => ({
    problems: [
      { path: "tasks[0].when", reason: "EMPTY", message: "m" },
      { path: "p", reason: "EMPTY", message: "m" },
    ],
    version: "",
  });
  t.is((await client.unary("validateWorkflow", { spec: { name: "w" } })).problems.length, 2);
  const put = await failure(t, client.unary("putWorkflow", { spec }));
  t.is(put.info.reason, "INVALID_WORKFLOW");
  t.deepEqual(
    put.badRequest?.fieldViolations.map(({ field, reason }) => `${field} ${reason}`),
    ["p EMPTY", "tasks[0].when NOT_SUPPORTED_YET"],
  );
  const many = Array.from({ length: 1_001 }, () => ({ when: "true" }));
  const cut = await client.unary("validateWorkflow", { spec: { name: "w", tasks: many } });
  t.is(cut.problems.length, 1_001);
  t.is(cut.problems.at(-1)?.reason, "TOO_MANY_PROBLEMS");
  const against = client.unary("validateWorkflow", { spec, againstWorkers: true });
  t.is((await failure(t, against)).info.metadata.field, "against_workers");
});

test("health tells whether calls make sense, and keeps watchers up to date", async (t) => {
  const edge = await withEdge(t);
  const client = new GrpcClient(Health, edge.address);
  t.teardown(() => client.close());
  for (const service of ["", WorkerService.typeName, WorkflowService.typeName]) {
    t.is((await client.unary("check", { service })).status, Serving.SERVING, service);
  }
  await t.throwsAsync(client.unary("check", { service: "nope" }), { message: /NOT_FOUND/ });
  const watch = client.serverStream("watch", { service: "" })[Symbol.asyncIterator]();
  const unknown = client.serverStream("watch", { service: "nope" });
  const next = async () => ((await watch.next()).value as { status: Serving }).status;
  t.is(await next(), Serving.SERVING);
  edge.engine.ready = false;
  t.is(await next(), Serving.NOT_SERVING);
  t.is((await client.unary("check", {})).status, Serving.NOT_SERVING);
  for await (const { status } of unknown) {
    t.is(status, Serving.SERVICE_UNKNOWN);
    break;
  }
});

test("draining refuses new calls, ends waits, and says so to health", async (t) => {
  const edge = await withEdge(t);
  const client = executions(t, edge);
  const health = new GrpcClient(Health, edge.address);
  t.teardown(() => health.close());
  const waits = new Promise<void>((waiting) => {
    edge.engine.executions.wait = async (_namespace, _id, { signal }) => {
      waiting();
      await new Promise((done) => signal.addEventListener("abort", done));
      return undefined;
    };
  });
  const wait = failure(t, client.unary("waitExecution", { executionId: EXECUTION_ID }));
  await waits;
  let left = (): void => undefined;
  edge.engine.workers.drain = () => new Promise((resolve) => (left = resolve));
  const drained = edge.drain(10_000);
  const cut = await wait;
  t.is(cut.info.reason, "DRAINING");
  t.is(cut.code, GrpcCode.UNAVAILABLE);
  const refused = await failure(t, client.unary("getExecution", { executionId: EXECUTION_ID }));
  t.is(refused.info.reason, "DRAINING");
  const duplex = client.duplex("streamExecutions");
  t.is(failureOf(await duplex.ended).info.reason, "DRAINING");
  t.is((await health.unary("check", {})).status, Serving.NOT_SERVING);
  left();
  await drained;
});

test("an admission decides on each call before its handler", async (t) => {
  const edge = await withEdge(t, {
    admission: async (method, { metadata }) => {
      const isKnown = metadata.get("authorization") === "Bearer good";
      if (!isKnown) throw new HeadraceError("PROTOCOL_VIOLATION", `${method.name} needs a token`);
    },
  });
  edge.engine.workflows.list = async () => ({ items: [], nextPageToken: "" });
  const client = workflows(t, edge);
  t.regex((await failure(t, client.unary("listWorkflows", {}))).text, /ListWorkflows needs a token/);
  const metadata = new Metadata();
  metadata.set("authorization", "Bearer good");
  await t.notThrowsAsync(client.unary("listWorkflows", {}, { metadata }));
  const others = executions(t, edge);
  t.is(failureOf(await others.duplex("streamExecutions").ended).info.reason, "PROTOCOL_VIOLATION");
  const watch = drainStream(others.serverStream("watchExecution", { executionId: EXECUTION_ID }));
  t.is((await failure(t, watch)).info.reason, "PROTOCOL_VIOLATION");
});

test("a method that the contract does not have is UNIMPLEMENTED", async (t) => {
  const edge = await withEdge(t);
  const client = workflows(t, edge);
  const call = new Promise((_resolve, reject) => {
    const same = (value: Buffer): Buffer => value;
    client.raw.makeUnaryRequest("/headrace.v1.WorkflowService/Nope", same, same, Buffer.alloc(0), reject);
  });
  await t.throwsAsync(call, { message: /UNIMPLEMENTED/ });
});

test("buf curl lists, describes and calls through reflection", async (t) => {
  const edge = await withEdge(t);
  edge.engine.workflows.list = async (namespace, { pageSize }) => ({
    items: [
      { name: namespace, version: "v", description: "", taskCount: pageSize, createdAtMs: 0, latest: true },
    ],
    nextPageToken: "",
  });
  const curl = async (path: string, ...flags: string[]) => {
    const url = `http://${edge.address}${path}`;
    const { stdout } = await run("node_modules/.bin/buf", [
      "curl",
      "--http2-prior-knowledge",
      "--protocol",
      "grpc",
      ...flags,
      url,
    ]);
    return stdout;
  };
  const methods = await curl("", "--list-methods");
  t.true(methods.includes("headrace.v1.WorkerService/Connect"));
  t.true(methods.includes("grpc.health.v1.Health/Check"));
  for (const version of ["grpc-v1", "grpc-v1alpha"]) {
    const flags = ["--reflect-protocol", version, "-d", '{"namespace":"blue","pageSize":7}'];
    const answer = JSON.parse(await curl("/headrace.v1.WorkflowService/ListWorkflows", ...flags));
    t.like(answer.workflows[0], { name: "blue", taskCount: 7 });
  }
});
