import test, { type ExecutionContext } from "ava";
import { status as GrpcCode } from "@grpc/grpc-js";
import { HeadraceError } from "../../server/core/errors.js";
import type { StartAnswer, StartRequest } from "../../server/engine/api.js";
import {
  ExecutionService,
  type StreamExecutionsResponse,
} from "../../server/gen/headrace/v1/execution_service_pb.js";
import { EventLog } from "../support/event-log.js";
import { failureOf, GrpcClient, type TestDuplex } from "../support/grpc-client.js";
import { EXECUTION_ID, executionView } from "../support/scripted-engine.js";
import { startTestEdge, type TestEdge } from "../support/test-edge.js";

interface Start {
  readonly namespace: string;
  readonly request: StartRequest;
  readonly answer: (created?: boolean) => void;
  readonly refuse: (error: Error) => void;
}

interface Setup {
  readonly edge: TestEdge;
  readonly starts: EventLog<Start>;
  readonly open: () => TestDuplex<Message, StreamExecutionsResponse>;
}

type Message = Parameters<ReturnType<GrpcClient<typeof ExecutionService>["duplex"]>["send"]>[0];

async function setup(t: ExecutionContext, options?: Parameters<typeof startTestEdge>[0]): Promise<Setup> {
  const edge = await startTestEdge(options);
  const client = new GrpcClient(ExecutionService, edge.address);
  t.teardown(async () => {
    client.close();
    await edge.close(0);
  });
  const starts = new EventLog<Start>();
  edge.engine.executions.start = (namespace, request) =>
    new Promise<StartAnswer>((resolve, reject) => {
      const answer = (created = true): void =>
        resolve({ executionId: request.executionId || EXECUTION_ID, created, version: "v", traceId: "t" });
      starts.push({ namespace, request, answer, refuse: reject });
    });
  return {
    edge,
    starts,
    open: () => client.duplex("streamExecutions") as TestDuplex<Message, StreamExecutionsResponse>,
  };
}

const start = (tag: number, changes: object = {}, wait = false) => ({
  tag: BigInt(tag),
  wait,
  start: { workflow: "w", ...changes },
});

const end = (output?: string) => ({
  executionId: EXECUTION_ID,
  status: "COMPLETED" as const,
  output: output === undefined ? undefined : { data: Buffer.from(output), encoding: "json" },
  failure: undefined,
});

test("starts are answered as they are committed, in batches, and ends follow", async (t) => {
  const { starts, open } = await setup(t);
  const stream = open();
  stream.send({ namespace: "blue", starts: [start(1, {}, true), start(2), start(3, {}, true)] });
  await starts.find(() => starts.all.length === 3);
  t.deepEqual(new Set(starts.all.map(({ namespace }) => namespace)), new Set(["blue"]));
  for (const each of starts.all) each.answer();
  starts.all[2]!.request.onEnd!(end('{"ok":true}'));
  starts.all[2]!.request.onEnd!(end('"twice"'));
  await stream.received.find(({ ended }) => ended.length > 0);
  t.is(stream.received.all.length, 1, "one message for what happened in one turn");
  const [first] = stream.received.all;
  t.deepEqual(
    first!.started.map(({ tag, result }) => [tag, result?.executionId, result?.created, result?.version]),
    [1n, 2n, 3n].map((tag) => [tag, EXECUTION_ID, true, "v"]),
  );
  t.is(first!.ended.length, 1);
  t.like(first!.ended[0], { tag: 3n, executionId: EXECUTION_ID, status: 4 });
  t.is(Buffer.from(first!.ended[0]!.output!.data).toString(), '{"ok":true}');
  t.is(starts.all[1]!.request.onEnd, undefined);
});

test("an end that comes before the answer is told after it", async (t) => {
  const { starts, open } = await setup(t);
  const stream = open();
  stream.send({ starts: [start(1, {}, true)] });
  const only = await starts.find(() => true);
  only.request.onEnd!(end());
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  only.answer();
  await stream.received.find(({ ended }) => ended.length > 0);
  t.is(stream.received.all[0]?.started.length, 1);
});

test("a half-closed stream finishes what is open and ends with OK", async (t) => {
  const { starts, open } = await setup(t);
  const stream = open();
  stream.send({ starts: [start(1, {}, true), start(2)] });
  stream.call.end();
  await starts.find(() => starts.all.length === 2);
  for (const each of starts.all) each.answer();
  await stream.received.find(({ started }) => started.length === 2);
  starts.all[0]!.request.onEnd!(end());
  t.is((await stream.ended).code, GrpcCode.OK);
  t.is(stream.received.all.at(-1)?.ended[0]?.tag, 1n);
  const empty = open();
  empty.call.end();
  t.is((await empty.ended).code, GrpcCode.OK);
});

test("a refused start is answered alone", async (t) => {
  const { starts, open } = await setup(t);
  const stream = open();
  stream.send({ starts: [start(1, { priority: 500 }, true), { tag: 2n }, start(3, {}, true), start(4)] });
  await starts.find(() => starts.all.length === 2);
  starts.all[0]!.refuse(new HeadraceError("WORKFLOW_NOT_FOUND", "None", { field: "workflow" }));
  starts.all[1]!.answer();
  stream.call.end();
  t.is((await stream.ended).code, GrpcCode.OK, "a refused start has no end to wait for");
  const results = stream.received.all.flatMap(({ started }) => started);
  t.deepEqual(
    new Map(results.map(({ tag, result }) => [tag, [result?.error?.reason, result?.error?.field]])),
    new Map([
      [1n, ["INVALID_FIELD", "starts[0].start.priority"]],
      [2n, ["INVALID_FIELD", "starts[1].start"]],
      [3n, ["WORKFLOW_NOT_FOUND", "workflow"]],
      [4n, [undefined, undefined]],
    ]),
  );
});

test("the end of a repeated start is asked for", async (t) => {
  const { edge, starts, open } = await setup(t);
  edge.engine.executions.wait = async (namespace, executionId) =>
    executionView({ namespace, executionId, status: "FAILED" });
  const stream = open();
  stream.send({ starts: [start(1, {}, true)] });
  (await starts.find(() => true)).answer(false);
  const { ended } = await stream.received.find((response) => response.ended.length > 0);
  t.like(ended[0], { tag: 1n, status: 5 });
});

test("the rules of the stream", async (t) => {
  const { open } = await setup(t, { limits: { startsPerRequest: 2 } });
  const many = open();
  many.send({ starts: [start(1), start(2), start(3)] });
  t.like(failureOf(await many.ended).info.metadata, { field: "starts", limit: "2", actual: "3" });
  const moved = open();
  moved.send({ namespace: "blue", starts: [] });
  moved.send({ namespace: "blue", starts: [] });
  moved.send({ namespace: "red", starts: [] });
  t.is(failureOf(await moved.ended).info.metadata.field, "namespace");
});

test("an engine that fails without a reason fails the stream", async (t) => {
  const { edge, starts, open } = await setup(t);
  const stream = open();
  stream.send({ starts: [start(1)] });
  (await starts.find(() => true)).refuse(new TypeError("oops"));
  t.is(failureOf(await stream.ended).info.reason, "INTERNAL");
  t.is((await edge.log.entries.find(({ level }) => level === "error")).fields.err instanceof TypeError, true);
});

test("nothing more is read while too many answers are owed", async (t) => {
  const { starts, open } = await setup(t, { executionStream: { openAnswersMax: 10 } });
  const stream = open();
  for (let tag = 0; tag < 200; tag += 5) {
    stream.send({ starts: [0, 1, 2, 3, 4].map((offset) => start(tag + offset)) });
  }
  await starts.find(() => starts.all.length >= 10);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  const read = starts.all.length;
  t.true(read < 100, `${read} starts are open`);
  for (let answered = 0; answered < 200; answered++) {
    await starts.find(() => starts.all.length > answered);
    starts.all[answered]!.answer();
  }
  await stream.received.find(() => stream.received.all.flatMap(({ started }) => started).length === 200);
  t.pass();
});

test("large outputs are spread over messages that a client takes", async (t) => {
  const { starts, open } = await setup(t);
  const stream = open();
  stream.send({ starts: Array.from({ length: 8 }, (_, tag) => start(tag, {}, true)) });
  await starts.find(() => starts.all.length === 8);
  for (const each of starts.all) {
    each.answer();
    each.request.onEnd!(end(JSON.stringify("x".repeat(1_000_000))));
  }
  await stream.received.find(() => stream.received.all.flatMap(({ ended }) => ended).length === 8);
  t.true(stream.received.all.length >= 4);
});

test("a drain refuses what is started after it", async (t) => {
  const { edge, starts, open } = await setup(t);
  const stream = open();
  stream.send({ starts: [start(1)] });
  const first = await starts.find(() => true);
  await edge.drain(0);
  stream.send({ starts: [start(2)] });
  const refused = await stream.received.find(({ started }) => started.some(({ tag }) => tag === 2n));
  t.is(refused.started[0]?.result?.error?.reason, "DRAINING");
  first.answer();
  await stream.received.find(({ started }) => started.some(({ tag }) => tag === 1n));
  stream.call.end();
  t.is((await stream.ended).code, GrpcCode.OK);
});

test("a client that goes away stops nothing and is told nothing", async (t) => {
  const { starts, open } = await setup(t);
  const stream = open();
  stream.send({ starts: [start(1, {}, true)] });
  const only = await starts.find(() => true);
  stream.call.cancel();
  await stream.ended;
  only.answer();
  only.request.onEnd!(end());
  await new Promise((resolve) => setImmediate(resolve));
  t.is(stream.received.all.length, 0);
});
