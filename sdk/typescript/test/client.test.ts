import { setTimeout as sleep } from "node:timers/promises";

import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { status as Status } from "@grpc/grpc-js";
import type { ExecutionContext } from "ava";
import test from "ava";

import { ExecutionStatus } from "../src/gen/headrace/v1/execution_pb.js";
import type {
  CancelExecutionRequest,
  ListExecutionsRequest,
  StartExecutionRequest,
  StreamedStart,
  StreamExecutionsRequest,
  WaitExecutionRequest,
  WatchExecutionRequest,
} from "../src/gen/headrace/v1/execution_service_pb.js";
import {
  StreamExecutionsResponseSchema,
  WatchExecutionResponseSchema,
} from "../src/gen/headrace/v1/execution_service_pb.js";
import type { Client, Ref } from "../src/index.js";
import {
  connect,
  ExecutionFailedError,
  HeadraceError,
  StartManyError,
  task,
  workflow,
} from "../src/index.js";
import type { StartCall } from "./support/scripted-server.js";
import { Refusal, ScriptedServer } from "./support/scripted-server.js";
import { startTcpProxy } from "./support/tcp-proxy.js";
import { json } from "./support/worker-link.js";

const double = task("double", (n: number) => 2 * n);
const flow = workflow("flow", (n: Ref<number>) => double(n));

interface Scene {
  readonly server: ScriptedServer;
  readonly client: Client;
  readonly puts: string[];
}

async function scene(t: ExecutionContext): Promise<Scene> {
  const server = await ScriptedServer.start();
  const puts: string[] = [];
  server.answers.set("PutWorkflow", (request: { spec: { name: string } }) => {
    puts.push(request.spec.name);
    return { name: request.spec.name, version: "0123456789abcdef", created: true };
  });
  const client = await connect({ address: server.address, callTimeout: "5s" });
  t.teardown(async () => {
    await client.close();
    server.close();
  });
  return { server, client, puts };
}

/** Answers every start with `started` and, if it waits, with the end that `endOf` gives. */
function answerStarts(call: StartCall, endOf: (start: StreamedStart) => object): StreamExecutionsRequest[] {
  const requests: StreamExecutionsRequest[] = [];
  call.on("data", (request: StreamExecutionsRequest) => {
    requests.push(request);
    const started = request.starts.map(({ tag, start }) => ({
      tag,
      result: { executionId: start!.executionId, created: true, version: start!.version, traceId: "ab" },
    }));
    const ended = request.starts
      .filter(({ wait }) => wait)
      .map((each) => ({ tag: each.tag, executionId: each.start!.executionId, ...endOf(each) }));
    call.write(create(StreamExecutionsResponseSchema, { started, ended }));
  });
  return requests;
}

function doubled({ start }: StreamedStart): object {
  const n = JSON.parse(Buffer.from(start!.input!.data).toString()) as number;
  return { status: ExecutionStatus.COMPLETED, output: json(2 * n) };
}

test("run puts once, starts in that version and answers the output", async (t) => {
  const { server, client, puts } = await scene(t);
  void server.startCalls.take().then((call) => answerStarts(call, doubled));
  t.is(await client.run(flow, 21), 42);
  t.is(await client.run(flow, 4, { labels: { a: "b" }, priority: 3 }), 8);
  t.deepEqual(puts, ["flow"]);
});

test("what starts in one turn of the event loop leaves in one message", async (t) => {
  const { server, client } = await scene(t);
  await client.put(flow);
  const calls = server.startCalls.take();
  const running = Promise.all(Array.from({ length: 1_200 }, (_, n) => client.run(flow, n)));
  const requests = answerStarts(await calls, doubled);
  const outputs = await running;
  t.deepEqual(
    outputs,
    Array.from({ length: 1_200 }, (_, n) => 2 * n),
  );
  t.deepEqual(
    requests.map(({ starts }) => starts.length),
    [500, 500, 200],
  );
  t.is(requests[0]!.namespace, "default");
  t.is(requests[0]!.starts[0]!.start!.version, "0123456789abcdef");
  t.is(server.startCalls.all.length, 1);
});

test("a failed execution rejects with what failed", async (t) => {
  const { server, client } = await scene(t);
  void server.startCalls.take().then((call) =>
    answerStarts(call, () => ({
      status: ExecutionStatus.FAILED,
      failure: {
        reason: "TASK_FAILED",
        message: 'Task "double" failed: no funds',
        taskId: "double",
        cause: { reason: "HANDLER_FAILED", message: "no funds", errorType: "CardDeclined" },
      },
    })),
  );
  const error = await t.throwsAsync(
    client.run(flow, 1, { executionId: "0190b1f2-0000-7000-8000-00000000000a" }),
    {
      instanceOf: ExecutionFailedError,
    },
  );
  t.like(error, {
    executionId: "0190b1f2-0000-7000-8000-00000000000a",
    status: "FAILED",
    reason: "TASK_FAILED",
    errorType: "CardDeclined",
    taskId: "double",
  });
  t.regex(error.message, /ended FAILED: Task "double" failed: no funds \(CardDeclined\)/);
  t.like(error.cause, { name: "CardDeclined", message: "no funds" });
});

test("a start that was not answered is sent again with the same id; an end is then waited for", async (t) => {
  const { server, client } = await scene(t);
  const waits: string[] = [];
  server.answers.set("WaitExecution", ({ executionId }: WaitExecutionRequest) => {
    waits.push(executionId);
    if (waits.length === 1)
      throw new Refusal(Status.DEADLINE_EXCEEDED, "WAIT_OVER", "over", { retryable: "true" });
    return { execution: { executionId, status: ExecutionStatus.COMPLETED, output: json("late") } };
  });
  const running = client.run(flow, 1);
  const first = await server.startCalls.take();
  const sent = await new Promise<StreamExecutionsRequest>((resolve) => first.once("data", resolve));
  first.emit("error", new Refusal(Status.UNAVAILABLE, "DATABASE_UNAVAILABLE", "gone", { retryable: "true" }));

  const second = await server.startCalls.take();
  const again = await new Promise<StreamExecutionsRequest>((resolve) => second.once("data", resolve));
  t.is(again.namespace, "default", "each stream names its namespace");
  const { tag, start } = again.starts[0]!;
  t.is(start!.executionId, sent.starts[0]!.start!.executionId);
  const result = { executionId: start!.executionId, created: false, version: "1", traceId: "" };
  second.write(create(StreamExecutionsResponseSchema, { started: [{ tag, result }] }));
  second.end();

  t.deepEqual([await running] as unknown[], ["late"]);
  t.deepEqual(waits, [start!.executionId, start!.executionId]);
});

test("one refused start does not touch the others, a retryable one is tried again", async (t) => {
  const { server, client } = await scene(t);
  const seen = new Map<string, number>();
  void server.startCalls.take().then((call) =>
    call.on("data", ({ starts }: StreamExecutionsRequest) => {
      const started = starts.map(({ tag, start }) => {
        const input = Buffer.from(start!.input!.data).toString();
        seen.set(input, (seen.get(input) ?? 0) + 1);
        const result = { executionId: start!.executionId, created: true, version: "1", traceId: "" };
        if (input === "1") {
          return {
            tag,
            result: { error: { code: 3, reason: "INVALID_INPUT", message: "1 is odd", field: "input" } },
          };
        }
        if (input === "2" && seen.get(input) === 1) {
          return { tag, result: { error: { code: 8, reason: "OVERLOADED", message: "later", field: "" } } };
        }
        return { tag, result };
      });
      call.write(create(StreamExecutionsResponseSchema, { started }));
    }),
  );
  const error = await t.throwsAsync(client.startMany(flow, [0, 1, 2]), { instanceOf: StartManyError });
  t.deepEqual(
    error.handles.map((handle) => handle === undefined),
    [false, true, false],
  );
  t.like(error.errors.get(1), { reason: "INVALID_INPUT", field: "input", code: "INVALID_ARGUMENT" });
  t.is(seen.get("2"), 2);
  t.is((await client.startMany(flow, [4, 6])).length, 2);
});

test("the ends of many starts are pushed to their handles, and read as often as wanted", async (t) => {
  const { server, client } = await scene(t);
  const waits: string[] = [];
  server.answers.set("WaitExecution", ({ executionId }: WaitExecutionRequest) => {
    waits.push(executionId);
    return { execution: { executionId, status: ExecutionStatus.COMPLETED, output: json("fetched") } };
  });
  void server.startCalls.take().then((call) =>
    answerStarts(call, ({ start }) => {
      const n = JSON.parse(Buffer.from(start!.input!.data).toString()) as number;
      if (n === 1) return { status: ExecutionStatus.FAILED, failure: { message: "no funds" } };
      return { status: ExecutionStatus.COMPLETED, output: json(n === 2 ? "x".repeat(20_000) : n) };
    }),
  );
  const [small, failed, large] = await client.startMany(flow, [0, 1, 2]);
  t.deepEqual([await small!.result(), await small!.result()] as unknown[], [0, 0]);
  await t.throwsAsync(failed!.result(), { instanceOf: ExecutionFailedError });
  t.deepEqual(waits, []);
  t.deepEqual([await large!.result()] as unknown[], ["fetched"]);
  t.deepEqual(waits, [large!.id], "what is large is not kept for thousands of handles");

  const [left] = await client.startMany(flow, [3], { wait: false });
  t.deepEqual([await left!.result()] as unknown[], ["fetched"]);
  t.deepEqual(waits, [large!.id, left!.id]);
});

test("when the stream breaks before the ends, the handles ask for them; a wait may be over before", async (t) => {
  const { server, client } = await scene(t);
  server.answers.set("WaitExecution", ({ executionId }: WaitExecutionRequest) => ({
    execution: { executionId, status: ExecutionStatus.COMPLETED, output: json("late") },
  }));
  const starting = client.startMany(flow, [1]);
  const call = await server.startCalls.take();
  const sent = await new Promise<StreamExecutionsRequest>((resolve) => call.once("data", resolve));
  const { tag, start, wait } = sent.starts[0]!;
  t.true(wait);
  const result = { executionId: start!.executionId, created: true, version: "1", traceId: "" };
  call.write(create(StreamExecutionsResponseSchema, { started: [{ tag, result }] }));
  const [handle] = await starting;
  t.is(
    (await t.throwsAsync(handle!.result({ timeout: 10 }), { instanceOf: HeadraceError })).reason,
    "WAIT_OVER",
  );
  call.end();
  t.deepEqual([await handle!.result()] as unknown[], ["late"]);
});

// Its ten thousand starts keep the process busy, which would spoil the times of the others.
test.serial("so many ends are pushed that later starts are not held up, and no more", async (t) => {
  const { server, client } = await scene(t);
  const waits: boolean[] = [];
  void server.startCalls.take().then((call) =>
    call.on("data", ({ starts }: StreamExecutionsRequest) => {
      waits.push(...starts.map(({ wait }) => wait));
      const started = starts.map(({ tag, start }) => ({
        tag,
        result: { executionId: start!.executionId, created: true, version: "1", traceId: "" },
      }));
      call.write(create(StreamExecutionsResponseSchema, { started }));
    }),
  );
  await client.startMany(flow, Array(10_001).fill(0));
  t.is(waits.filter((wait) => wait).length, 10_000);
});

test("a large start goes by itself, so that refusing it ends no stream", async (t) => {
  const { server, client } = await scene(t);
  server.answers.set("StartExecution", ({ start }: StartExecutionRequest) => {
    if (start!.input!.data.length > 1_000_000) {
      throw new Refusal(Status.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE", "input is too large", {
        field: "start.input",
        limit: "1000000",
        actual: String(start!.input!.data.length),
        retryable: "false",
      });
    }
    return { executionId: start!.executionId, created: true, version: "1", traceId: "t" };
  });
  t.like(await client.start("text", "x".repeat(300_000)), { created: true, traceId: "t", workflow: "text" });
  const error = await t.throwsAsync(client.start("text", "x".repeat(1_000_000)), {
    instanceOf: HeadraceError,
  });
  t.like(error, {
    reason: "PAYLOAD_TOO_LARGE",
    field: "start.input",
    limit: "1000000",
    actual: "1000002",
    retryable: false,
  });
  t.is(server.startCalls.all.length, 0);
});

test("a wait may have a timeout and a signal, and the execution goes on", async (t) => {
  const { server, client } = await scene(t);
  void server.startCalls.take().then((call) =>
    call.on("data", ({ starts }: StreamExecutionsRequest) => {
      const started = starts.map(({ tag, start }) => ({
        tag,
        result: { executionId: start!.executionId, created: true },
      }));
      call.write(create(StreamExecutionsResponseSchema, { started }));
    }),
  );
  t.like(await t.throwsAsync(client.run(flow, 1, { timeout: 30 })), { reason: "WAIT_OVER", retryable: true });
  const controller = new AbortController();
  const running = client.run(flow, 1, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await t.throwsAsync(running, { message: "enough" });
  const handle = await client.start(flow, 1);
  server.answers.set("WaitExecution", () => new Promise(() => undefined));
  const later = new AbortController();
  const waiting = handle.result({ signal: later.signal });
  later.abort(new Error("enough too"));
  await t.throwsAsync(waiting, { message: "enough too" });
});

test("a wait is over at its timeout, whether the server says so or says nothing", async (t) => {
  const { server, client } = await scene(t);
  void server.startCalls.take().then((call) => answerStarts(call, doubled));
  const handle = await client.start(flow, 1);
  const over = async (): Promise<number> => {
    const before = performance.now();
    t.like(await t.throwsAsync(handle.result({ timeout: "300ms" })), { reason: "WAIT_OVER" });
    return performance.now() - before;
  };
  let calls = 0;
  server.answers.set("WaitExecution", async ({ timeout }: WaitExecutionRequest) => {
    calls += 1;
    await sleep(durationMs(timeout!));
    throw new Refusal(Status.DEADLINE_EXCEEDED, "WAIT_OVER", "over", { retryable: "true" });
  });
  t.true((await over()) < 2_000);
  t.true(calls <= 3, `${calls} calls`);
  server.answers.set("WaitExecution", () => new Promise(() => undefined));
  t.true((await over()) < 2_000);
  server.answers.set("WaitExecution", () => {
    throw new Refusal(Status.UNAVAILABLE, "DRAINING", "elsewhere", { retryable: "true" });
  });
  t.true((await over()) < 2_000);
});

test("calls are repeated while the server is away, and give up in time", async (t) => {
  const server = await ScriptedServer.start();
  const proxy = await startTcpProxy(server.port);
  const patient = await connect({ address: proxy.address });
  const client = await connect({ address: proxy.address, callTimeout: 600 });
  let calls = 0;
  server.answers.set("CancelExecution", ({ reason }: CancelExecutionRequest) => {
    calls += 1;
    if (calls < 3) throw new Refusal(Status.UNAVAILABLE, "DRAINING", "elsewhere", { retryable: "true" });
    return { accepted: reason === "why" };
  });
  t.true(await patient.cancel("id", { reason: "why", grace: "5s" }));
  t.is(calls, 3);
  await patient.close();
  proxy.refuse(true);
  proxy.cut();
  const before = performance.now();
  const error = await t.throwsAsync(client.get("id"), { instanceOf: HeadraceError });
  t.true(["UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(error.code), error.code);
  t.true(performance.now() - before < 2_000);
  await client.close();
  await proxy.close();
  server.close();
});

test("a refusal is decoded and not repeated", async (t) => {
  const { server, client } = await scene(t);
  let calls = 0;
  server.answers.set("GetExecution", () => {
    calls += 1;
    throw new Refusal(Status.NOT_FOUND, "EXECUTION_NOT_FOUND", "There is no execution x", {
      field: "execution_id",
      actual: "x",
      remedy: "Correct the id.",
      retryable: "false",
    });
  });
  const error = await t.throwsAsync(client.get("x"), { instanceOf: HeadraceError });
  t.like(error, {
    reason: "EXECUTION_NOT_FOUND",
    code: "NOT_FOUND",
    field: "execution_id",
    actual: "x",
    remedy: "Correct the id.",
    message: "There is no execution x. Correct the id.",
  });
  t.is(calls, 1);
});

test("the remedy is said once, although the text of the server ends with it", async (t) => {
  const { server, client } = await scene(t);
  const message = "There is no workflow x. Put it first.";
  const facts = { remedy: "Put it first.", retryable: "false" };
  server.answers.set("GetExecution", () => {
    throw new Refusal(Status.NOT_FOUND, "WORKFLOW_NOT_FOUND", message, facts);
  });
  t.like(await t.throwsAsync(client.get("x")), { message, remedy: "Put it first." });

  void server.startCalls.take().then((call) =>
    call.on("data", ({ starts }: StreamExecutionsRequest) => {
      if (starts.some(({ start }) => start!.workflow === "broken")) {
        call.emit("error", new Refusal(Status.NOT_FOUND, "WORKFLOW_NOT_FOUND", message, facts));
        return;
      }
      const error = { code: Status.NOT_FOUND, reason: "WORKFLOW_NOT_FOUND", message, field: "" };
      const started = starts.map(({ tag }) => ({ tag, result: { error } }));
      call.write(create(StreamExecutionsResponseSchema, { started }));
    }),
  );
  t.like(await t.throwsAsync(client.start("x", 1)), { message });
  t.like(await t.throwsAsync(client.start("broken", 1)), { message, remedy: "Put it first." });
});

test("list walks the pages, with its filter on each", async (t) => {
  const { server, client } = await scene(t);
  const requests: ListExecutionsRequest[] = [];
  server.answers.set("ListExecutions", (request: ListExecutionsRequest) => {
    requests.push(request);
    const n = requests.length;
    return {
      executions: [{ executionId: `e${n}`, status: ExecutionStatus.RUNNING }],
      nextPageToken: n < 3 ? `p${n}` : "",
    };
  });
  const ids: string[] = [];
  const filter = {
    workflow: "flow",
    statuses: ["RUNNING", "FAILED"] as const,
    labels: { a: "b" },
    pageSize: 1,
  };
  for await (const execution of client.list(filter)) ids.push(`${execution.id} ${execution.status}`);
  t.deepEqual(ids, ["e1 RUNNING", "e2 RUNNING", "e3 RUNNING"]);
  t.deepEqual(
    requests.map(({ pageToken }) => pageToken),
    ["", "p1", "p2"],
  );
  t.deepEqual(requests[2]!.filter!.statuses, [ExecutionStatus.RUNNING, ExecutionStatus.FAILED]);
  await t.throwsAsync(client.list({ statuses: ["DONE" as never] }).next(), {
    message: /"DONE" is not a status/,
  });
});

test("watch goes on after a broken stream where it was, and ends with the execution", async (t) => {
  const { server, client } = await scene(t);
  const revisions: bigint[] = [];
  server.onWatch = (call) => {
    const { afterRevision } = (call as unknown as { request: WatchExecutionRequest }).request;
    revisions.push(afterRevision);
    const update = (revision: bigint, status: ExecutionStatus): void =>
      void call.write(
        create(WatchExecutionResponseSchema, { execution: { executionId: "e", revision, status } }),
      );
    if (afterRevision === 0n) {
      update(1n, ExecutionStatus.RUNNING);
      update(4n, ExecutionStatus.RUNNING);
      call.emit("error", new Refusal(Status.UNAVAILABLE, "DRAINING", "elsewhere", { retryable: "true" }));
    } else {
      update(5n, ExecutionStatus.COMPLETED);
      call.end();
    }
  };
  const seen: string[] = [];
  for await (const { execution } of client.watch("e")) seen.push(`${execution.revision} ${execution.status}`);
  t.deepEqual(seen, ["1 RUNNING", "4 RUNNING", "5 COMPLETED"]);
  t.deepEqual(revisions, [0n, 4n]);
});

test("watch tells the progress as a value of its own", async (t) => {
  const { server, client } = await scene(t);
  const progress = { done: 1, total: 2, message: "half" };
  server.onWatch = (call) => {
    const tasks = [{ taskId: "a", progress }, { taskId: "b" }];
    call.write(create(WatchExecutionResponseSchema, { execution: { executionId: "e" }, tasks }));
    call.end();
  };
  const seen: unknown[] = [];
  for await (const { tasks } of client.watch("e")) seen.push(...tasks.map((each) => each.progress));
  t.deepEqual(seen, [progress, undefined]);
});

test("what is no workflow, no list of inputs, no label or no option is refused and named", async (t) => {
  const { client, server } = await scene(t);
  void server.startCalls.take().then((call) => answerStarts(call, doubled));
  const refused = async (doing: Promise<unknown>, field: string, message: RegExp): Promise<void> => {
    const error = await t.throwsAsync(doing, { instanceOf: HeadraceError });
    t.like(error, { reason: "INVALID_OPTION", field });
    t.regex(error.message, message);
  };
  await refused(
    client.start(5 as never, 1),
    "workflow",
    /The workflow is 5\. Give what workflow\(\) returned/,
  );
  await refused(client.start(undefined as never, 1), "workflow", /is undefined/);
  await refused(client.run(double as never, 1), "workflow", /is the task "double"\. Define a workflow/);
  await refused(client.put("flow" as never), "workflow", /is "flow"/);
  await refused(client.serve("x" as never), "what", /is "x"\. Give what task\(\) or workflow\(\) returned/);
  await refused(client.serve([flow, null as never]), "[1]", /serve\(\)\[1\] is null/);
  await refused(client.startMany(flow, 5 as never), "inputs", /are 5\. Give an array/);
  const labels = { a: 5 as never };
  await refused(client.start(flow, 1, { labels }), 'labels["a"]', /labels\["a"\] is 5\. Give text/);
  await refused(client.startMany(flow, [1], { labels }), 'labels["a"]', /is 5/);
  await refused(client.serve(flow, { labels }), 'labels["a"]', /is 5/);
  await refused(client.serve(flow, { concurrency: "5" as never }), "concurrency", /concurrency is "5"/);
  await refused(client.list({ labels }).next(), 'labels["a"]', /is 5/);
  const handle = await client.start(flow, 1);
  await refused(handle.watch({ sginal: 1 } as never).next(), "sginal", /watch\(\) has no option "sginal"/);
});

test("of many inputs, those that cannot be written are told with their index", async (t) => {
  const { client, server } = await scene(t);
  void server.startCalls.take().then((call) => answerStarts(call, doubled));
  const inputs = [1, new Map() as never, 3];
  const error = await t.throwsAsync(client.startMany(flow, inputs), { instanceOf: StartManyError });
  t.regex(error.message, /^1 of 3 executions were not started, the first at inputs\[1\]/);
  t.is(error.field, "inputs[1]");
  t.deepEqual([...error.errors.keys()], [1]);
  t.like(error.errors.get(1), { reason: "INVALID_PAYLOAD" });
  t.regex((error.cause as Error).message, /inputs\[1\] is a Map/);
  t.is(error.handles.filter((handle) => handle !== undefined).length, 2);
});

test("closing refuses what was not answered", async (t) => {
  const { client, server } = await scene(t);
  const starting = client.start("flow", 1);
  await server.startCalls.take();
  await client.close();
  t.like(await t.throwsAsync(starting), { reason: "CLOSED" });
  t.like(await t.throwsAsync(client.start("flow", 1)), { reason: "CLOSED" });
});

test("an address at which nobody answers is told, with what to do", async (t) => {
  const error = await t.throwsAsync(connect({ address: "127.0.0.1:1", connectTimeout: 200 }), {
    instanceOf: HeadraceError,
  });
  t.is(error.reason, "SERVER_UNREACHABLE");
  t.regex(error.message, /127\.0\.0\.1:1 .*headrace dev.*HEADRACE_ADDRESS/);
  await t.throwsAsync(connect({ adress: "x" } as never), { message: /"adress"/ });
});
