import { status } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";
import {
  AckResult,
  type Assignment,
  type ConnectResponse,
} from "../../server/gen/headrace/v1/worker_service_pb.js";
import { useDatabase } from "../support/database.js";
import { failureOf } from "../support/grpc-client.js";
import { startServer } from "../support/server-process.js";
import { single, useClient } from "../support/step-client.js";
import { startWorker, useJournal } from "../support/worker-process.js";
import { Wire } from "../support/wire.js";

const hello = { workerName: "raw", handlers: ["step"], queues: ["default"], credit: 10 };

async function setUp(t: ExecutionContext, env: Record<string, string> = {}) {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl, env });
  const client = await useClient(t, address);
  await client.put(single);
  return { address, client, notes: await useJournal(), wire: Wire.open(t, address) };
}

/** A worker stream that a test speaks by hand. */
async function open(wire: Wire) {
  const stream = wire.workers.duplex("connect");
  stream.send({ message: { case: "hello", value: hello } });
  const welcome = await stream.received.find(({ message }) => message.case === "welcome");
  if (welcome.message.case !== "welcome") throw new Error("no welcome");
  return { stream, sessionId: welcome.message.value.sessionId };
}

function assignmentsIn(messages: readonly ConnectResponse[]): Assignment[] {
  return messages.flatMap(({ message }) => (message.case === "assignments" ? message.value.assignments : []));
}

test.serial("a worker that acknowledges no frame is closed, and its tasks go back uncounted", async (t) => {
  const { address, client, notes, wire } = await setUp(t, { HEADRACE_DELIVERY_TIMEOUT: "500ms" });
  const { stream } = await open(wire);
  // It is alive, but says that nothing beyond the welcome has come.
  const beats = setInterval(
    () => stream.send({ receivedFrame: 1n, message: { case: "beat", value: {} } }),
    100,
  );
  t.teardown(() => clearInterval(beats));
  const handles = await client.startMany(
    single,
    Array.from({ length: 5 }, (_, value) => ({ value })),
  );
  await stream.received.find(() => assignmentsIn(stream.received.all).length === 5);
  t.true(stream.received.all.every(({ message }) => message.case !== "acks"));
  const end = await stream.ended;
  clearInterval(beats);
  t.is(end.code, status.ABORTED);
  t.is(failureOf(end).info.reason, "DELIVERY_NOT_ACKNOWLEDGED");
  t.true(
    stream.received.all.some(({ message }) => message.case === "ping"),
    "it was asked before",
  );
  await startWorker(t, { address, notes, name: "sound" });
  for (const [value, handle] of handles.entries()) {
    t.deepEqual(await handle.result(), { value, worker: "sound", attempt: 1 });
    t.like(await wire.task(handle.id, "step"), { attempt: 1, crashes: 0, maxAttempts: 3 });
  }
});

test.serial("a late report of a worker that fell silent is STALE and changes nothing", async (t) => {
  const { address, client, notes, wire } = await setUp(t, {
    HEADRACE_BEAT_TIMEOUT: "1s",
    HEADRACE_DELIVERY_TIMEOUT: "500ms",
  });
  const { stream, sessionId } = await open(wire);
  const handle = await client.start(single, { value: "right" });
  const { frame } = await stream.received.find(({ message }) => message.case === "assignments");
  const attempt = assignmentsIn(stream.received.all)[0]!.attempt!;
  stream.send({ receivedFrame: frame, message: { case: "beat", value: {} } });
  t.not((await stream.ended).code, status.OK);
  await startWorker(t, { address, notes, name: "heir" });
  t.like(await handle.result(), { value: "right", worker: "heir", attempt: 1 });
  const before = [await wire.execution(handle.id), await wire.task(handle.id, "step")];
  t.is((before[1] as { crashes: number }).crashes, 1, "it had acknowledged the task");

  const success = { data: Buffer.from('"wrong"'), encoding: "json" };
  const report = { attempt, outcome: { case: "success", value: { output: success } } } as const;
  // Both on a stream that would resume, and on a new one.
  for (const resume of [{ sessionId, held: [attempt] }, undefined]) {
    const late = wire.workers.duplex("connect");
    late.send({ message: { case: "hello", value: { ...hello, credit: 0, ...(resume && { resume }) } } });
    const { message: welcome } = await late.received.find(({ message }) => message.case === "welcome");
    if (resume !== undefined && welcome.case === "welcome") {
      t.false(welcome.value.resumed);
      t.deepEqual(
        welcome.value.stale.map((stale) => stale.attempt),
        [attempt],
      );
    }
    late.send({ receivedFrame: 1n, message: { case: "reports", value: { reports: [report] } } });
    const { message } = await late.received.find(({ message: { case: kind } }) => kind === "acks");
    if (message.case === "acks") t.like(message.value.acks[0], { result: AckResult.STALE, attempt });
    late.call.end();
  }
  t.deepEqual([await wire.execution(handle.id), await wire.task(handle.id, "step")], before);
});

test.serial("a worker that closes its stream without a report gives its tasks to others", async (t) => {
  const { address, client, notes, wire } = await setUp(t, { HEADRACE_CLOSED_GRACE: "100ms" });
  const { stream } = await open(wire);
  const handle = await client.start(single, { value: 1 });
  await stream.received.find(() => assignmentsIn(stream.received.all).length === 1);
  stream.call.end();
  await startWorker(t, { address, notes, name: "heir" });
  t.like(await handle.result(), { worker: "heir", attempt: 1 });
  t.like(await wire.task(handle.id, "step"), { attempt: 1, crashes: 0 });
});
