import test, { type ExecutionContext } from "ava";
import { status as GrpcCode } from "@grpc/grpc-js";
import { HeadraceError } from "../../server/core/errors.js";
import type { Assignment, AttemptRef, ReportAck } from "../../server/engine/api.js";
import { WorkerService, type ConnectResponse } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { failureOf, GrpcClient } from "../support/grpc-client.js";
import { EXECUTION_ID, type ScriptedSession } from "../support/scripted-engine.js";
import { startTestEdge, type TestEdge } from "../support/test-edge.js";

type Stream = ReturnType<typeof openStream>;

async function withEdge(
  t: ExecutionContext,
  options?: Parameters<typeof startTestEdge>[0],
): Promise<TestEdge> {
  const edge = await startTestEdge(options);
  t.teardown(() => edge.close(0));
  return edge;
}

function openStream(t: ExecutionContext, edge: TestEdge) {
  const client = new GrpcClient(WorkerService, edge.address);
  t.teardown(() => client.close());
  return client.duplex("connect");
}

const HELLO = {
  workerName: "w1",
  handlers: ["h"],
  queues: ["q"],
  credit: 5,
  slots: 8,
  sdkName: "sdk",
  sdkVersion: "1",
};
const hello = (changes: object = {}) => ({
  message: { case: "hello" as const, value: { ...HELLO, ...changes } },
});
const credit = (add: number) => ({ message: { case: "credit" as const, value: { add } } });
const beat = (receivedFrame = 0n) => ({ receivedFrame, message: { case: "beat" as const, value: {} } });

/** A stream whose Welcome has come, and the engine's end of it. */
async function welcomed(
  t: ExecutionContext,
  edge: TestEdge,
): Promise<{ stream: Stream; session: ScriptedSession }> {
  const stream = openStream(t, edge);
  stream.send(hello());
  await stream.received.find(({ frame }) => frame === 1n);
  const session = await edge.engine.sessions.find(() => true);
  return { stream, session };
}

function ref(lease: number): AttemptRef {
  return { executionId: EXECUTION_ID, taskId: "t", mapIndex: -1, attempt: 1, lease };
}

function assignment(lease: number, bytes = 10): Assignment {
  return {
    attempt: ref(lease),
    ...{ handler: "h", queue: "q", workflow: "w", maxAttempts: 3, crashes: 0, traceparent: "00-a" },
    input: { data: Buffer.alloc(bytes, "x"), encoding: "bytes" },
    deadlineAtMs: 1_700_000_000_000,
    heartbeatTimeoutMs: 2_500,
    heartbeatDetails: { data: Buffer.from("5"), encoding: "json" },
  };
}

const ack = (lease: number): ReportAck => ({
  attempt: ref(lease),
  result: "COMMITTED",
  reason: "",
  message: "",
});

function framesOf(stream: Stream, kind: ConnectResponse["message"]["case"]): ConnectResponse[] {
  return stream.received.all.filter(({ message }) => message.case === kind);
}

test("Hello opens a session and is answered by Welcome, which is frame 1", async (t) => {
  const edge = await withEdge(t);
  edge.engine.welcome = {
    ...edge.engine.welcome,
    resumed: true,
    stale: [{ attempt: ref(3), reason: "LEASE_LOST" }],
  };
  const stream = openStream(t, edge);
  const held = [{ ...ref(3), lease: 3n }];
  stream.send(hello({ namespace: "blue", labels: { zone: "a" }, resume: { sessionId: EXECUTION_ID, held } }));
  const { frame, message } = await stream.received.find(() => true);
  t.is(frame, 1n);
  t.is(message.case, "welcome");
  const welcome = message.case === "welcome" ? message.value : undefined;
  t.like(welcome, { replicaId: "replica-1", serverVersion: "1.2.3", resumed: true });
  t.like(welcome?.beatInterval, { seconds: 5n, nanos: 0 });
  t.like(welcome?.limits, {
    payloadBytes: 2_097_152n,
    messageBytes: 4_194_304n,
    reportsPerMessage: 1_000,
    credit: 10_000,
  });
  t.like(welcome?.stale[0], { reason: "LEASE_LOST", attempt: { lease: 3n } });
  const session = await edge.engine.sessions.find(() => true);
  t.deepEqual(session.hello, {
    ...HELLO,
    namespace: "blue",
    buildId: "",
    features: [],
    labels: { zone: "a" },
    resume: { sessionId: EXECUTION_ID, held: [ref(3)] },
  });
});

test("what follows the Hello waits for the session, and what the engine says waits for the Welcome", async (t) => {
  const edge = await withEdge(t);
  const connect = edge.engine.workers.connect;
  let open = (): void => undefined;
  edge.engine.workers.connect = async (request, sink) => {
    const opened = await connect(request, sink);
    t.is(sink.assign([assignment(1)]), 2);
    await new Promise<void>((resolve) => (open = resolve));
    return opened;
  };
  const stream = openStream(t, edge);
  stream.send(hello());
  stream.send(credit(3));
  const session = await edge.engine.sessions.find(() => true);
  await new Promise((resolve) => setImmediate(resolve));
  t.is(stream.received.all.length, 0);
  open();
  await stream.received.find(({ frame }) => frame === 2n);
  t.deepEqual(
    stream.received.all.map(({ message }) => message.case),
    ["welcome", "assignments"],
  );
  await session.events.find(({ kind }) => kind === "grant");
});

test("the first message must be Hello, and there is one", async (t) => {
  const edge = await withEdge(t);
  const first = openStream(t, edge);
  first.send(credit(1));
  const refused = failureOf(await first.ended);
  t.is(refused.code, GrpcCode.FAILED_PRECONDITION);
  t.is(refused.info.reason, "PROTOCOL_VIOLATION");
  const { stream, session } = await welcomed(t, edge);
  stream.send(hello());
  t.is(failureOf(await stream.ended).info.reason, "PROTOCOL_VIOLATION");
  t.like(await session.events.find(({ kind }) => kind === "disconnected"), { how: "closed" });
});

test("a stream without a Hello is closed", async (t) => {
  const edge = await withEdge(t, { workerStream: { helloTimeoutMs: 50 } });
  const stream = openStream(t, edge);
  t.is(failureOf(await stream.ended).info.reason, "PROTOCOL_VIOLATION");
});

test("a Hello is checked, and the engine may refuse it", async (t) => {
  const edge = await withEdge(t);
  const wrong: Array<[object, string]> = [
    [{ resume: { sessionId: "x" } }, "hello.resume.session_id"],
    [{ resume: { sessionId: EXECUTION_ID, held: [{ lease: 0n }] } }, "hello.resume.held[0].execution_id"],
  ];
  for (const [changes, field] of wrong) {
    const stream = openStream(t, edge);
    stream.send(hello(changes));
    const failed = failureOf(await stream.ended);
    t.is(failed.info.reason, "INVALID_FIELD");
    t.is(failed.info.metadata.field, field);
  }
  t.is(edge.engine.sessions.all.length, 0);
  edge.engine.workers.connect = () =>
    Promise.reject(new HeadraceError("OVERLOADED", "Too many", { retryAfterMs: 250 }));
  const stream = openStream(t, edge);
  stream.send(hello());
  t.like(failureOf(await stream.ended).retryInfo?.retryDelay, { nanos: 250_000_000 });
});

test("credit reaches the session within its limits", async (t) => {
  const edge = await withEdge(t);
  const { stream, session } = await welcomed(t, edge);
  stream.send(credit(7));
  stream.send({ message: { case: "reports", value: { reports: [], credit: 2 } } });
  await session.events.find((event) => event.kind === "grant" && event.credit === 2);
  t.deepEqual(
    session.events.all.filter(({ kind }) => kind === "grant"),
    [
      { kind: "grant", credit: 7 },
      { kind: "grant", credit: 2 },
    ],
  );
  for (const add of [-1, 10_001]) {
    const other = await welcomed(t, edge);
    other.stream.send(credit(add));
    const failed = failureOf(await other.stream.ended);
    t.is(failed.info.reason, "INVALID_FIELD");
    t.like(failed.info.metadata, {
      field: "credit.add",
      actual: String(add),
      limit: add < 0 ? "0" : "10000",
    });
  }
});

test("each message acknowledges frames, and none that was not sent", async (t) => {
  const edge = await withEdge(t);
  const { stream, session } = await welcomed(t, edge);
  t.is(session.sink.assign([assignment(1)]), 2);
  await stream.received.find(({ frame }) => frame === 2n);
  stream.send({ receivedFrame: 1n });
  stream.send(beat(2n));
  await session.events.find((event) => event.kind === "received" && event.frame === 2);
  t.deepEqual(
    session.events.all.map((event) => event.kind === "received" && event.frame),
    [1, 2],
  );
  stream.send(beat(3n));
  const failed = failureOf(await stream.ended);
  t.is(failed.info.reason, "PROTOCOL_VIOLATION");
  t.regex(failed.text, /received_frame is 3, but the last frame sent is 2/);
});

test("what is said in one turn leaves as one frame of each kind, assignments first", async (t) => {
  const edge = await withEdge(t);
  const { stream, session } = await welcomed(t, edge);
  const { sink } = session;
  sink.ack([ack(1)]);
  sink.cancel([{ attempt: ref(2), reason: "EXECUTION_CANCELLED", outcomeWanted: true, deadlineAtMs: 5_000 }]);
  sink.drain("replica goes away");
  t.is(sink.assign([assignment(1), assignment(2)]), 2);
  sink.ping();
  queueMicrotask(() => {
    t.is(sink.assign([assignment(3)]), 2);
    sink.ack([ack(2)]);
  });
  await stream.received.find(({ message }) => message.case === "ping");
  const said = stream.received.all.slice(1);
  t.deepEqual(
    said.map(({ frame, message }) => [frame, message.case]),
    [
      [2n, "assignments"],
      [3n, "acks"],
      [4n, "cancels"],
      [5n, "drain"],
      [6n, "ping"],
    ],
  );
  const [first] = said;
  const assigned = first?.message.case === "assignments" ? first.message.value.assignments : [];
  t.deepEqual(
    assigned.map(({ attempt }) => attempt?.lease),
    [1n, 2n, 3n],
  );
  t.like(assigned[0], {
    handler: "h",
    queue: "q",
    workflow: "w",
    maxAttempts: 3,
    traceparent: "00-a",
    crashes: 0,
  });
  t.like(assigned[0]?.heartbeatTimeout, { seconds: 2n, nanos: 500_000_000 });
  t.is(Buffer.from(assigned[0]!.heartbeatDetails!.data).toString(), "5");
  const acks = said[1]?.message.case === "acks" ? said[1].message.value.acks : [];
  t.deepEqual(
    acks.map(({ attempt, result }) => [attempt?.lease, result]),
    [
      [1n, 1],
      [2n, 1],
    ],
  );
});

test("assignments are cut into frames, and the number of the last one is known at once", async (t) => {
  const edge = await withEdge(t, { workerStream: { frameBytes: 10_000 } });
  const { stream, session } = await welcomed(t, edge);
  const many = Array.from({ length: 10 }, (_, index) => assignment(index + 1, 3_000));
  const last = session.sink.assign(many);
  t.is(
    session.sink.assign([assignment(11, 50_000)]),
    last + 1,
    "one that is larger than a frame has its own",
  );
  t.is(session.sink.assign([assignment(12, 1)]), last + 2);
  await stream.received.find(({ frame }) => frame === BigInt(last + 2));
  const leases = framesOf(stream, "assignments").map(({ message }) =>
    message.case === "assignments"
      ? message.value.assignments.map(({ attempt }) => Number(attempt?.lease))
      : [],
  );
  t.deepEqual(leases, [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10], [11], [12]]);
  t.is(last, 5);
});

test("reports reach the session converted; one that can never be committed is rejected alone", async (t) => {
  const edge = await withEdge(t, { limits: { payloadBytes: 100 } });
  const { stream, session } = await welcomed(t, edge);
  const attempt = (lease: number) => ({ ...ref(lease), lease: BigInt(lease) });
  const json = (text: string) => ({ output: { data: Buffer.from(text), encoding: "json" } });
  const failure = {
    message: "m\0",
    errorType: "E",
    nonRetryable: true,
    retryAfter: { seconds: 2n },
    cause: { message: "c" },
  };
  stream.send({
    message: {
      case: "reports",
      value: {
        reports: [
          { attempt: attempt(1), outcome: { case: "success", value: json("[1]") } },
          { attempt: attempt(2), outcome: { case: "success", value: json("x".repeat(101)) } },
          { attempt: attempt(3), outcome: { case: "failure", value: failure } },
          { attempt: attempt(4), outcome: { case: "cancelled", value: { message: "stop" } } },
          { attempt: attempt(5), outcome: { case: "givenBack", value: {} } },
          { attempt: { ...attempt(6), executionId: "x" }, outcome: { case: "givenBack", value: {} } },
          { attempt: attempt(7), outcome: { case: "success", value: json("nope") } },
        ],
      },
    },
  });
  const event = await session.events.find((each) => each.kind === "report");
  t.deepEqual(event, {
    kind: "report",
    reports: [
      {
        attempt: ref(1),
        outcome: { kind: "success", output: { data: Buffer.from("[1]"), encoding: "json" } },
      },
      {
        attempt: ref(3),
        outcome: {
          kind: "failure",
          failure: {
            ...{
              reason: "HANDLER_FAILED",
              message: "m\ufffd",
              errorType: "E",
              nonRetryable: true,
              retryAfterMs: 2_000,
            },
            cause: { reason: "HANDLER_FAILED", message: "c" },
          },
        },
      },
      { attempt: ref(4), outcome: { kind: "cancelled", message: "stop" } },
      { attempt: ref(5), outcome: { kind: "givenBack" } },
    ],
  });
  const { message } = await stream.received.find(({ message: each }) => each.case === "acks");
  const acks = message.case === "acks" ? message.value.acks : [];
  t.deepEqual(
    acks.map(({ attempt: acked, result, reason }) => [acked?.lease, result, reason]),
    [
      [2n, 4, "PAYLOAD_TOO_LARGE"],
      [6n, 4, "INVALID_FIELD"],
      [7n, 4, "INVALID_FIELD"],
    ],
  );
});

test("beats reach the session; what is wrong with them ends the stream", async (t) => {
  const edge = await withEdge(t);
  const { stream, session } = await welcomed(t, edge);
  const attempt = { ...ref(1), lease: 1n };
  const details = { data: Buffer.from("3") };
  const progress = { done: 1, total: 2, message: "half" };
  stream.send({
    message: { case: "beat", value: { attempts: [{ attempt, progress, details }, { attempt }] } },
  });
  t.deepEqual(await session.events.find(({ kind }) => kind === "beat"), {
    kind: "beat",
    beats: [
      { attempt: ref(1), progress, details: { data: Buffer.from("3"), encoding: "json" } },
      { attempt: ref(1), progress: undefined, details: undefined },
    ],
  });
  const nan = { ...progress, done: Number.NaN };
  stream.send({ message: { case: "beat", value: { attempts: [{ attempt, progress: nan }] } } });
  t.is(failureOf(await stream.ended).info.metadata.field, "beat.attempts[0].progress.done");
});

test("too many reports in a message, or without their commit, end the stream", async (t) => {
  const edge = await withEdge(t, { limits: { reportsPerMessage: 10, creditPerSession: 10 } });
  const reports = (count: number) => ({
    message: {
      case: "reports" as const,
      value: {
        reports: Array.from({ length: count }, (_, index) => ({
          attempt: { ...ref(index + 1), lease: BigInt(index + 1) },
          outcome: { case: "givenBack" as const, value: {} },
        })),
      },
    },
  });
  const first = await welcomed(t, edge);
  first.stream.send(reports(11));
  const failed = failureOf(await first.stream.ended);
  t.like(failed.info.metadata, { field: "reports.reports", limit: "10", actual: "11" });
  const second = await welcomed(t, edge);
  for (let round = 0; round < 3; round++) second.stream.send(reports(10));
  const session = edge.engine.sessions.all[1]!;
  await session.events.find(() => session.events.all.filter(({ kind }) => kind === "report").length === 3);
  session.sink.ack(Array.from({ length: 10 }, (_, index) => ack(index + 1)));
  second.stream.send(reports(10));
  await session.events.find(() => session.events.all.filter(({ kind }) => kind === "report").length === 4);
  second.stream.send(reports(10));
  t.is(failureOf(await second.stream.ended).info.reason, "OVERLOADED");
});

test("drain and logs", async (t) => {
  const edge = await withEdge(t);
  const { stream, session } = await welcomed(t, edge);
  stream.send({ message: { case: "drain", value: { reason: "deploy" } } });
  await session.events.find(({ kind }) => kind === "drain");
  stream.send({ message: { case: "logs", value: {} } });
  t.is(failureOf(await stream.ended).info.reason, "NOT_SUPPORTED_YET");
});

test("the session learns how its stream ended", async (t) => {
  const edge = await withEdge(t);
  const halfClosed = await welcomed(t, edge);
  halfClosed.stream.call.end();
  t.is((await halfClosed.stream.ended).code, GrpcCode.OK);
  t.deepEqual(await halfClosed.session.events.find(({ kind }) => kind === "disconnected"), {
    kind: "disconnected",
    how: "closed",
  });
  const cancelled = await welcomed(t, edge);
  const session = edge.engine.sessions.all[1]!;
  cancelled.stream.call.cancel();
  t.like(await session.events.find(({ kind }) => kind === "disconnected"), { how: "closed" });
  edge.engine.welcome = { ...edge.engine.welcome, beatIntervalMs: 10 };
  const silent = await welcomed(t, edge);
  const silentSession = edge.engine.sessions.all[2]!;
  await new Promise((resolve) => setTimeout(resolve, 30)); // Silence is a time; nothing can be waited for.
  silent.stream.call.cancel();
  t.like(await silentSession.events.find(({ kind }) => kind === "disconnected"), { how: "silent" });
  for (const each of edge.engine.sessions.all) {
    t.is(each.events.all.filter(({ kind }) => kind === "disconnected").length, 1);
  }
});

test("a stream that is gone before its session opens is told to the session", async (t) => {
  const edge = await withEdge(t);
  const connect = edge.engine.workers.connect;
  let open = (): void => undefined;
  edge.engine.workers.connect = async (request, sink) => {
    const opened = await connect(request, sink);
    await new Promise<void>((resolve) => (open = resolve));
    return opened;
  };
  const stream = openStream(t, edge);
  stream.send(hello());
  const session = await edge.engine.sessions.find(() => true);
  stream.call.cancel();
  await edge.log.entries.find(({ message }) => message === "worker stream ended");
  open();
  await session.events.find(({ kind }) => kind === "disconnected");
  t.pass();
});

test("the engine closes a stream with a typed status, after what it said before", async (t) => {
  const edge = await withEdge(t);
  const { stream, session } = await welcomed(t, edge);
  session.sink.ack([ack(1)]);
  session.sink.close(new HeadraceError("SESSION_REPLACED", "Resumed elsewhere"));
  session.sink.assign([assignment(1)]);
  const failed = failureOf(await stream.ended);
  t.is(failed.code, GrpcCode.ABORTED);
  t.is(failed.info.reason, "SESSION_REPLACED");
  t.deepEqual(
    stream.received.all.map(({ message }) => message.case),
    ["welcome", "acks"],
  );
  t.false(
    session.events.all.some(({ kind }) => kind === "disconnected"),
    "the engine knows",
  );
});

test("a worker that does not read is closed when too much waits for it, and its status still comes", async (t) => {
  const edge = await withEdge(t, { workerStream: { waitingBytesMax: 2_000_000, frameBytes: 500_000 } });
  const { stream, session } = await welcomed(t, edge);
  stream.call.pause();
  let lease = 0;
  while (!session.events.all.some(({ kind }) => kind === "disconnected")) {
    session.sink.assign([assignment(++lease, 500_000)]);
    if (lease > 1_000) return t.fail("nothing stopped it");
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.true(lease < 30, `closed after ${lease} assignments`);
  stream.call.resume();
  t.is(failureOf(await stream.ended).info.reason, "DELIVERY_NOT_ACKNOWLEDGED");
});
