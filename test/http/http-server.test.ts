import { gzipSync } from "node:zlib";
import { once } from "node:events";
import { connect } from "node:net";
import test, { type ExecutionContext } from "ava";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { HeadraceError } from "../../server/core/errors.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../server/gen/google/rpc/error_details_pb.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import {
  ListWorkflowsRequestSchema,
  WorkflowService,
} from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { EXECUTION_ID, executionView } from "../support/scripted-engine.js";
import { startTestEdge, type TestEdge } from "../support/test-edge.js";

async function withEdge(
  t: ExecutionContext,
  options?: Parameters<typeof startTestEdge>[0],
): Promise<TestEdge> {
  const edge = await startTestEdge(options);
  t.teardown(() => edge.close(0));
  edge.engine.workflows.list = async (namespace, { pageSize }) => ({
    items: [
      { name: namespace, version: "v", description: "", taskCount: pageSize, createdAtMs: 0, latest: true },
    ],
    nextPageToken: "",
  });
  return edge;
}

const LIST = "/headrace.v1.WorkflowService/ListWorkflows";

interface JsonError {
  readonly code: string;
  readonly message: string;
  readonly details: ReadonlyArray<{
    readonly type: string;
    readonly debug: Readonly<Record<string, unknown>>;
  }>;
}

async function post(
  edge: TestEdge,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
  path = LIST,
) {
  const response = await fetch(`http://${edge.address}${path}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", connection: "close", ...headers },
  });
  return { status: response.status, body: (await response.json()) as JsonError };
}

const reasonOf = (error: JsonError): unknown => error.details[0]?.debug.reason;

test("a call is plain JSON over HTTP, by POST and by GET", async (t) => {
  const edge = await withEdge(t);
  const { status, body } = await post(edge, '{"namespace":"blue","pageSize":7}');
  t.is(status, 200);
  t.deepEqual(body as unknown, {
    workflows: [
      { name: "blue", version: "v", taskCount: 7, createdAt: "1970-01-01T00:00:00Z", latest: true },
    ],
  });
  const message = encodeURIComponent('{"namespace":"red"}');
  const answer = await fetch(`http://${edge.address}${LIST}?connect=v1&encoding=json&message=${message}`);
  t.is(((await answer.json()) as { workflows: Array<{ name: string }> }).workflows[0]?.name, "red");
});

test("Connect and gRPC-web clients call, stream, and learn of errors", async (t) => {
  const edge = await withEdge(t);
  const baseUrl = `http://${edge.address}`;
  edge.engine.executions.watch = async function* () {
    for (const revision of [1, 2, 3]) yield { execution: executionView({ revision }), tasks: [] };
  };
  edge.engine.executions.get = () =>
    Promise.reject(
      new HeadraceError("OVERLOADED", "Too much", { retryAfterMs: 1_000, field: "execution_id" }),
    );
  for (const transport of [
    createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true, useHttpGet: true }),
    createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  ]) {
    const list = await createClient(WorkflowService, transport).listWorkflows({ namespace: "n" });
    t.is(list.workflows[0]?.name, "n");
    const client = createClient(ExecutionService, transport);
    const revisions: bigint[] = [];
    for await (const { execution } of client.watchExecution({ executionId: EXECUTION_ID })) {
      revisions.push(execution!.revision);
    }
    t.deepEqual(revisions, [1n, 2n, 3n]);
    const failed = await t.throwsAsync<ConnectError>(client.getExecution({ executionId: EXECUTION_ID }), {
      instanceOf: ConnectError,
    });
    t.is(failed.code, Code.ResourceExhausted);
    t.is(failed.findDetails(ErrorInfoSchema)[0]?.reason, "OVERLOADED");
    t.is(failed.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds, 1n);
    const invalid = await t.throwsAsync<ConnectError>(client.getExecution({ executionId: "x" }));
    t.is(invalid.code, Code.InvalidArgument);
    t.is(invalid.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field, "execution_id");
    const streamed = client.watchExecution({ executionId: "x" })[Symbol.asyncIterator]();
    const refused = await t.throwsAsync<ConnectError>(streamed.next());
    t.is(refused.findDetails(ErrorInfoSchema)[0]?.reason, "INVALID_FIELD");
  }
});

test("requests that cannot be read carry a reason", async (t) => {
  const edge = await withEdge(t, { limits: { messageBytes: 1_000 } });
  const malformed = [
    "{",
    '{"namespace":1}',
    '{"nameSpace":"x"}',
    '{"pageSize":"many"}',
    "[]",
    '{"pageSize":99999999999}',
  ];
  for (const body of malformed) {
    const answer = await post(edge, body);
    t.is(answer.status, 400, body);
    t.is(answer.body.code, "invalid_argument");
    t.is(reasonOf(answer.body), "MALFORMED_REQUEST", body);
  }
  const binary = await post(edge, Buffer.from([0x0a, 0xff]), { "content-type": "application/proto" });
  t.is(binary.status, 400);
  t.is(reasonOf(binary.body), "MALFORMED_REQUEST");
  const large = await post(edge, JSON.stringify({ namespace: "x".repeat(1_000) }));
  t.is(large.status, 429);
  t.is(reasonOf(large.body), "MESSAGE_TOO_LARGE");
  const bomb = gzipSync(JSON.stringify({ namespace: "x".repeat(1_000_000) }));
  const packed = await post(edge, new Uint8Array(bomb), { "content-encoding": "gzip" });
  t.is(reasonOf(packed.body), "MESSAGE_TOO_LARGE");
  const type = await post(edge, "{}", { "content-type": "text/plain" });
  t.is(reasonOf(type.body), "MALFORMED_REQUEST");
  t.regex(type.body.message, /send content-type: application\/json/);
  const get = await fetch(`http://${edge.address}/headrace.v1.WorkflowService/PutWorkflow`);
  t.regex(((await get.json()) as JsonError).message, /by POST/);
  edge.engine.workflows.list = () => Promise.reject(new TypeError("password is hunter2"));
  const internal = await post(edge, "{}");
  t.is(internal.status, 500);
  t.is(reasonOf(internal.body), "INTERNAL");
  t.false(JSON.stringify(internal.body).includes("hunter2"));
});

test("a call over HTTP has a context like one over gRPC", async (t) => {
  const seen: unknown[] = [];
  const edge = await withEdge(t, {
    admission: (method, { metadata, peer, deadlineMs }) => {
      const left = deadlineMs === undefined ? undefined : deadlineMs - Date.now();
      seen.push([
        method.name,
        metadata.get("x-note"),
        /^127\.0\.0\.1:\d+$/.test(peer),
        left !== undefined && left > 4_000 && left <= 5_000,
      ]);
    },
  });
  await post(edge, "{}", { "x-note": "hi", "connect-timeout-ms": "5000" });
  t.deepEqual(seen, [["ListWorkflows", "hi", true, true]]);
});

test("a caller that goes away aborts its call", async (t) => {
  const edge = await withEdge(t);
  const aborted = new Promise<void>((resolve) => {
    edge.engine.executions.wait = async (_namespace, _id, { signal }) => {
      setImmediate(() => caller.abort());
      await new Promise((done) => signal.addEventListener("abort", done));
      resolve();
      return undefined;
    };
  });
  const caller = new AbortController();
  const call = fetch(`http://${edge.address}/headrace.v1.ExecutionService/WaitExecution`, {
    method: "POST",
    body: JSON.stringify({ executionId: EXECUTION_ID }),
    headers: { "content-type": "application/json" },
    signal: caller.signal,
  });
  await t.throwsAsync(call, { any: true, name: "AbortError" });
  await aborted;
});

test("bidirectional calls are not served over HTTP/1.1", async (t) => {
  const edge = await withEdge(t);
  const { status, body } = await post(edge, "{}", {}, "/headrace.v1.WorkerService/Connect");
  t.is(status, 400);
  t.is(body.code, "invalid_argument");
  t.regex(body.message, /^This call streams both ways, which HTTP\/1\.1 cannot; use gRPC\./);
});

test("a request of the wrong kind is told what to send, and no status that it does not have", async (t) => {
  const edge = await withEdge(t);
  const stream = await post(edge, "{}", {}, "/headrace.v1.ExecutionService/WatchExecution");
  t.is(stream.status, 400);
  t.regex(stream.body.message, /a call that answers with a stream needs application\/connect\+json/);
  const read = await fetch(`http://${edge.address}${LIST}`, { headers: { connection: "close" } });
  t.is(read.status, 400);
  const { message } = (await read.json()) as JsonError;
  t.regex(message, /^This method is called by POST;/);
  for (const text of [stream.body.message, message]) t.notRegex(text, /HTTP status|\b(405|415|505)\b/);
});

test("liveness, readiness, and what exists", async (t) => {
  const edge = await withEdge(t);
  const get = async (path: string, method = "GET") => {
    const response = await fetch(`http://${edge.address}${path}`, {
      method,
      headers: { connection: "close" },
    });
    return {
      status: response.status,
      body: (method === "HEAD" ? {} : await response.json()) as Record<string, unknown>,
    };
  };
  t.deepEqual(await get("/healthz"), { status: 200, body: { status: "alive" } });
  t.deepEqual(await get("/readyz?verbose"), { status: 200, body: { status: "ready" } });
  t.is((await get("/readyz", "HEAD")).status, 200);
  t.is((await get("/readyz", "DELETE")).status, 405);
  edge.engine.ready = false;
  t.deepEqual(await get("/readyz"), {
    status: 503,
    body: { status: "not ready", reason: "DATABASE_UNAVAILABLE" },
  });
  t.is((await get("/healthz")).status, 200);
  await edge.drain(0);
  t.deepEqual(await get("/readyz"), { status: 503, body: { status: "not ready", reason: "DRAINING" } });
  const missing = await get("/nope");
  t.is(missing.status, 404);
  const paths = missing.body.paths as string[];
  t.true(paths.includes("/healthz") && paths.includes(LIST));
  t.is(reasonOf((await post(edge, "{}")).body), "DRAINING");
});

test("a drain ends calls that wait over HTTP", async (t) => {
  const edge = await withEdge(t);
  const waiting = new Promise<void>((resolve) => {
    edge.engine.executions.wait = async (_namespace, _id, { signal }) => {
      resolve();
      await new Promise((done) => signal.addEventListener("abort", done));
      return undefined;
    };
  });
  const body = JSON.stringify({ executionId: EXECUTION_ID });
  const call = post(edge, body, {}, "/headrace.v1.ExecutionService/WaitExecution");
  await waiting;
  await edge.drain(0);
  const answer = await call;
  t.is(answer.status, 503);
  t.is(reasonOf(answer.body), "DRAINING");
});

test("requests that a client does not finish are not waited for", async (t) => {
  const edge = await withEdge(t, { http: { headersTimeoutMs: 60, requestTimeoutMs: 60 } });
  const socket = connect(edge.port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  socket.write(
    `POST ${LIST} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
  );
  socket.on("error", () => undefined);
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
  const hostless = connect(edge.port, "127.0.0.1");
  t.teardown(() => hostless.destroy());
  hostless.write(`POST ${LIST} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`);
  t.regex(String((await once(hostless, "data"))[0]), /^HTTP\/1\.1 400 /);
});

test("a close lets the call in progress end", async (t) => {
  const edge = await startTestEdge();
  let answer = (): void => undefined;
  const started = new Promise<void>((resolve) => {
    edge.engine.workflows.list = async () => {
      resolve();
      await new Promise<void>((done) => (answer = done));
      return { items: [], nextPageToken: "last" };
    };
  });
  const bytes = toBinary(ListWorkflowsRequestSchema, create(ListWorkflowsRequestSchema));
  const call = fetch(`http://${edge.address}${LIST}`, {
    method: "POST",
    body: new Uint8Array(bytes),
    headers: { "content-type": "application/proto" },
  });
  await started;
  const closed = edge.close(60_000);
  answer();
  t.is((await call).status, 200);
  await closed;
});
