import { setTimeout as sleep } from "node:timers/promises";

import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { status as Status } from "@grpc/grpc-js";
import type { ExecutionContext } from "ava";
import test from "ava";

import { decodePayload } from "../src/codec.js";
import type { AttemptBeat, Report } from "../src/gen/headrace/v1/worker_service_pb.js";
import { AckResult } from "../src/gen/headrace/v1/worker_service_pb.js";
import type { CancelledError, Handler, ServeOptions, TaskContext, Worker } from "../src/index.js";
import { connect, currentContext, HeadraceError, NonRetryable, RetryAfter, task } from "../src/index.js";
import { Refusal, ScriptedServer } from "./support/scripted-server.js";
import { startTcpProxy } from "./support/tcp-proxy.js";
import type { TcpProxy } from "./support/tcp-proxy.js";
import type { WorkerLink } from "./support/worker-link.js";
import { json } from "./support/worker-link.js";

interface Scene {
  readonly server: ScriptedServer;
  readonly proxy: TcpProxy;
  readonly worker: Worker;
  readonly link: WorkerLink;
  readonly warnings: string[];
}

/** A worker with one handler named "work", welcomed by a scripted server that it reaches through a proxy. */
async function scene(
  t: ExecutionContext,
  handler: Handler<unknown, unknown>,
  options: ServeOptions = {},
): Promise<Scene> {
  const server = await ScriptedServer.start();
  const proxy = await startTcpProxy(server.port);
  const warnings: string[] = [];
  const client = await connect({ address: proxy.address, onWarning: (text) => warnings.push(text) });
  const serving = client.serve(task("work", handler), { signals: false, drainTimeout: 0, ...options });
  const link = await server.links.take();
  link.welcome();
  const worker = await serving;
  t.teardown(async () => {
    server.close();
    await proxy.close();
    // The server is gone: what is still unacknowledged stays so, and closing gives it up.
    void client.close();
  });
  return { server, proxy, worker, link, warnings };
}

function outputOf(report: Report): unknown {
  return report.outcome.case === "success" ? decodePayload(report.outcome.value.output) : report.outcome;
}

/** A handler whose attempts end when the test says so, by task id. */
function gate(): {
  handler: Handler<unknown, unknown>;
  open: (taskId: string, value?: unknown) => void;
  started: string[];
  contexts: Map<string, TaskContext>;
} {
  const opens = new Map<string, (value: unknown) => void>();
  const started: string[] = [];
  const contexts = new Map<string, TaskContext>();
  return {
    started,
    contexts,
    open: (taskId, value = taskId) => opens.get(taskId)?.(value),
    handler: (_input, context) => {
      started.push(context.taskId);
      contexts.set(context.taskId, context);
      return new Promise((resolve, reject) => {
        opens.set(context.taskId, resolve);
        context.signal.addEventListener("abort", () => reject(context.signal.reason as Error));
      });
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000 && !condition(); i++) await sleep(5);
  if (!condition()) throw new Error("the condition did not come true in 5 s");
}

test("a hello tells who the worker is, and an assignment becomes a report", async (t) => {
  const { link } = await scene(t, (input) => ({ got: input }), { concurrency: 7, prefetch: 2, name: "w" });
  t.like(link.hello, {
    namespace: "default",
    workerName: "w",
    sdkName: "headrace-typescript",
    handlers: ["work"],
    queues: ["default"],
    credit: 9,
    slots: 7,
  });
  t.is(link.hello.resume, undefined);
  const [ref] = link.assign({ input: json({ amount: 5 }) });
  const report = await link.reports.take();
  t.like(report.attempt, { ...ref });
  t.deepEqual(outputOf(report), { got: { amount: 5 } });
});

test("the handler gets what the assignment says", async (t) => {
  const seen: unknown[] = [];
  const { link } = await scene(t, async (_input, context) => {
    await Promise.resolve();
    seen.push(currentContext() === context);
    seen.push([context.executionId, context.taskId, context.attempt, context.maxAttempts, context.workflow]);
    seen.push(context.deadline, context.lastHeartbeat, context.traceparent, context.signal.aborted);
  });
  const [ref] = link.assign({
    deadlineAt: { seconds: 2_000_000_000n, nanos: 0 },
    heartbeatDetails: json({ at: 3 }),
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });
  const report = await link.reports.take();
  t.deepEqual(seen, [
    true,
    [ref!.executionId, "t0", 1, 3, "flow"],
    new Date(2_000_000_000_000),
    { at: 3 },
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    false,
  ]);
  t.is(report.outcome.case, "success");
  t.is(outputOf(report), undefined);
  t.throws(() => currentContext(), { instanceOf: HeadraceError });
});

test("what ends in one turn leaves in one message, which returns the credit", async (t) => {
  const { link } = await scene(t, () => 1, { concurrency: 50 });
  link.assign(...Array.from({ length: 50 }, () => ({})));
  const { reports, credit } = await link.next("reports");
  t.is(reports.length, 50);
  t.is(credit, 50);
});

test.serial("frames are acknowledged soon although there is nothing to say", async (t) => {
  const { link } = await scene(t, gate().handler);
  link.assign({});
  const before = performance.now();
  await link.acknowledged();
  t.true(performance.now() - before < 100);
  link.send({ case: "ping", value: {} as never });
  await link.acknowledged();
  t.is(link.reports.all.length, 0);
});

test("credit is granted when a slot frees, and never beyond the capacity", async (t) => {
  const { handler, open, started } = gate();
  const { link } = await scene(t, handler, { concurrency: 2, prefetch: 1 });
  t.is(link.credit, 3);
  link.assign({}, {}, {});
  await link.acknowledged();
  t.deepEqual(started, ["t0", "t1"], "the third waits");
  t.is(link.credit, 3, "nothing is granted for having read");
  open("t0");
  t.is(outputOf(await link.reports.take()), "t0");
  t.is(link.credit, 4);
  await until(() => started.length === 3);
  open("t1");
  open("t2");
  await until(() => link.credit === 6);
  t.is(link.assigned, 3);
});

test("a worker that is sent too much runs no more than its slots, and its accounts stay right", async (t) => {
  const { handler, open, started } = gate();
  const { link } = await scene(t, handler, { concurrency: 2 });
  link.assign({}, {}, {}, {}, {});
  await link.acknowledged();
  for (let done = 0; done < 5; done++) {
    t.is(link.credit, 2 + done, "one is granted for each that has ended");
    await until(() => started.length === Math.min(5, 2 + done));
    open(`t${done}`);
    await link.reports.take();
  }
  t.is(link.credit - link.assigned, 2);
});

test("what a handler throws becomes a failure", async (t) => {
  class CardDeclined extends Error {}
  const errors: Record<string, unknown> = {
    t0: new CardDeclined("no funds", { cause: new TypeError("inner") }),
    t1: new NonRetryable("never", { details: { code: 7 } }),
    t2: new RetryAfter("90s", "busy"),
    t3: "just text",
  };
  const { link } = await scene(t, (_input, { taskId }) => {
    throw errors[taskId];
  });
  link.assign({}, {}, {}, {});
  const failures = [];
  for (let i = 0; i < 4; i++) {
    const { outcome } = await link.reports.take();
    if (outcome.case === "failure") failures.push(outcome.value);
  }
  const [declined, never, busy, text] = failures;
  t.like(declined, { reason: "HANDLER_FAILED", message: "no funds", errorType: "CardDeclined" });
  t.false(declined!.nonRetryable);
  t.like(declined!.cause, { message: "inner", errorType: "TypeError" });
  t.regex(declined!.stackTrace, /worker\.test/);
  t.like(never, { errorType: "NonRetryable", nonRetryable: true });
  t.deepEqual(decodePayload(never!.details), { code: 7 });
  t.is(durationMs(busy!.retryAfter!), 90_000);
  t.like(text, { message: "just text", errorType: "string" });
});

test("an output that cannot be sent fails for good, with its path or its size", async (t) => {
  const { link } = await scene(t, (_input, { taskId }) =>
    taskId === "t0" ? { list: [new Map()] } : "x".repeat(3 * 1024 * 1024),
  );
  link.assign({}, {});
  const outcomes = [(await link.reports.take()).outcome, (await link.reports.take()).outcome];
  t.like(outcomes[0], { case: "failure", value: { reason: "INVALID_PAYLOAD", nonRetryable: true } });
  t.regex((outcomes[0]!.value as { message: string }).message, /output\.list\[0\] is a Map/);
  t.like(outcomes[1], { case: "failure", value: { reason: "PAYLOAD_TOO_LARGE", nonRetryable: true } });
  t.regex((outcomes[1]!.value as { message: string }).message, /3145730 bytes.*2097152/);
});

test("an outcome is kept until it is acknowledged, and sent again after the line was cut", async (t) => {
  const { server, proxy, link, warnings } = await scene(t, () => "done");
  const [ref] = link.assign({});
  await link.reports.take();
  proxy.cut();
  const second = await server.links.take();
  t.is(second.hello.resume?.sessionId, "s-1");
  t.like(second.hello.resume?.held, [{ ...ref }]);
  t.is(second.hello.credit, 100, "its slot is free");
  second.welcome({ resumed: true });
  const again = await second.reports.take();
  t.is(outputOf(again), "done");
  second.ack(again, AckResult.DUPLICATE);
  await second.acknowledged();
  proxy.cut();
  const third = await server.links.take();
  t.deepEqual(third.hello.resume?.held, [], "acknowledged outcomes are forgotten");
  third.welcome({ resumed: true });
  const [next] = third.assign({});
  t.is(
    (await third.reports.take()).attempt?.lease,
    next!.lease,
    "the first outcome was not sent a third time",
  );
  t.regex(warnings[0]!, /broke and is resumed/);
});

test("a cut line re-runs nothing: what runs goes on and is reported on the next stream", async (t) => {
  const { handler, open, started } = gate();
  const { server, proxy, link } = await scene(t, handler, { concurrency: 1, prefetch: 1 });
  link.assign({}, {});
  await link.acknowledged();
  proxy.cut();
  const second = await server.links.take();
  t.deepEqual(
    second.hello.resume?.held.map((ref) => ref.taskId),
    ["t0", "t1"],
    "running and waiting ones are held",
  );
  t.is(second.hello.credit, 0);
  open("t0", "late");
  second.welcome({ resumed: true });
  t.is(outputOf(await second.reports.take()), "late");
  await until(() => started.length === 2);
  open("t1");
  t.is(outputOf(await second.reports.take()), "t1");
  t.deepEqual(started, ["t0", "t1"]);
});

test("a session that is gone stops its handlers and drops their outcomes", async (t) => {
  const { handler, contexts, started } = gate();
  const { server, proxy, link } = await scene(t, handler, { concurrency: 1, prefetch: 1 });
  link.assign({}, {});
  await link.acknowledged();
  proxy.cut();
  const second = await server.links.take();
  second.welcome({ sessionId: "s-2", resumed: false });
  await until(() => contexts.get("t0")!.signal.aborted);
  t.is((contexts.get("t0")!.signal.reason as CancelledError).reason, "LEASE_LOST");
  await until(() => second.credit === 2);
  t.deepEqual(started, ["t0"], "what only waited is never run");
  t.is(second.reports.all.length, 0);
  proxy.cut();
  const third = await server.links.take();
  t.like(third.hello.resume, { sessionId: "s-2", held: [] });
});

test("only those attempts stop that the server calls stale", async (t) => {
  const { handler, open, contexts } = gate();
  const { server, proxy, link } = await scene(t, handler);
  const [first] = link.assign({}, {});
  await link.acknowledged();
  proxy.cut();
  const second = await server.links.take();
  second.welcome({ resumed: true, stale: [{ attempt: first!, reason: "LEASE_LOST" }] });
  await until(() => contexts.get("t0")!.signal.aborted);
  open("t1");
  t.is(outputOf(await second.reports.take()), "t1");
  t.is(second.reports.all.length, 1);
});

test("a repeated assignment of a held attempt runs once", async (t) => {
  const { handler, open, started } = gate();
  const { link } = await scene(t, handler, { concurrency: 5 });
  const [attempt] = link.assign({});
  link.assign({ attempt: attempt! });
  await link.acknowledged();
  t.deepEqual(started, ["t0"]);
  await until(() => link.credit === 6);
  open("t0");
  await link.reports.take();
  await until(() => link.credit === 7);
  t.is(link.reports.all.length, 1);
});

test("a cancelled handler that throws is reported as cancelled, one that returns as a success", async (t) => {
  const { link } = await scene(t, async (_input, { signal, taskId }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    if (taskId === "t0") throw new Error("stopped");
    return (signal.reason as CancelledError).reason;
  });
  const refs = link.assign({}, {});
  await link.acknowledged();
  for (const ref of refs) link.cancel(ref, "EXECUTION_CANCELLED", true);
  const outcomes = new Map<string, Report>();
  for (let i = 0; i < 2; i++) {
    const report = await link.reports.take();
    outcomes.set(report.attempt!.taskId, report);
  }
  t.is(outcomes.get("t0")!.outcome.case, "cancelled");
  t.is(outputOf(outcomes.get("t1")!), "EXECUTION_CANCELLED");
});

test("a cancel reaches what waits, and one whose outcome nobody wants is silent", async (t) => {
  const { handler, started } = gate();
  const { link } = await scene(t, handler, { concurrency: 1, prefetch: 1 });
  const [running, waiting] = link.assign({}, {});
  await link.acknowledged();
  link.cancel(waiting!, "EXECUTION_CANCELLED", true);
  const report = await link.reports.take();
  t.like(report, { attempt: { taskId: "t1" }, outcome: { case: "cancelled" } });
  t.is(link.credit, 3);
  link.cancel(running!, "ATTEMPT_TIMEOUT", false);
  await until(() => link.credit === 4);
  t.deepEqual(started, ["t0"]);
  t.is(link.reports.all.length, 1);
});

test("a rejected outcome is replaced by a failure with the server's reason", async (t) => {
  const { link, warnings } = await scene(t, () => "fine here");
  link.assign({});
  link.ack(await link.reports.take(), AckResult.REJECTED, "PAYLOAD_TOO_LARGE", "too large there");
  const second = await link.reports.take();
  t.like(second.outcome, {
    case: "failure",
    value: { reason: "PAYLOAD_TOO_LARGE", message: "too large there", nonRetryable: true },
  });
  link.ack(second, AckResult.REJECTED, "INVALID_FIELD", "not even that");
  await until(() => warnings.length === 1);
  t.regex(warnings[0]!, /not even that/);
});

test("heartbeats are throttled, and the newest details go before a failure", async (t) => {
  const { link } = await scene(t, (_input, context) => {
    for (let i = 1; i <= 100; i++) context.heartbeat({ i });
    context.progress(3, 10, "copying");
    throw new Error("broken");
  });
  link.assign({ heartbeatTimeout: durationFromMs(60_000) });
  const beat = await nextAttemptBeat(link);
  const report = await link.reports.take();
  t.is(report.outcome.case, "failure");
  t.deepEqual(decodePayload(beat.details), { i: 100 });
  t.like(beat.progress, { done: 3, total: 10, message: "copying" });
  const messages = link.messages.all.map(({ message }) => message);
  const beats = messages.filter(({ case: kind, value }) => kind === "beat" && value.attempts.length > 0);
  t.is(beats.length, 1);
  t.true(messages.indexOf(beats[0]!) < messages.findIndex(({ case: kind }) => kind === "reports"));
});

test.serial("a heartbeat while the handler runs is sent at once, the next within the throttle", async (t) => {
  let beat: (details: unknown) => void = () => undefined;
  const { link } = await scene(t, (_input, context) => {
    beat = (details) => context.heartbeat(details);
    return new Promise(() => undefined);
  });
  link.assign({ heartbeatTimeout: durationFromMs(400) });
  await link.acknowledged();
  const before = performance.now();
  for (let i = 0; i < 50; i++) beat(i);
  const first = await nextAttemptBeat(link);
  beat("again");
  const second = await nextAttemptBeat(link);
  t.is(decodePayload(first.details), 49);
  t.is(decodePayload(second.details), "again");
  t.true(performance.now() - before >= 95, "a quarter of the heartbeat timeout lies between them");
});

/** The next beat that tells something of an attempt. */
async function nextAttemptBeat(link: WorkerLink): Promise<AttemptBeat> {
  const { message } = await link.messages.take(
    ({ message: { case: kind, value } }) => kind === "beat" && value.attempts.length > 0,
  );
  if (message.case !== "beat") throw new Error("not a beat");
  return message.value.attempts[0]!;
}

test("the worker says something at least every beat interval", async (t) => {
  const server = await ScriptedServer.start();
  const client = await connect({ address: server.address });
  const serving = client.serve(
    task("work", () => 1),
    { signals: false },
  );
  const link = await server.links.take();
  link.welcome({ beatInterval: durationFromMs(50) });
  await serving;
  await link.acknowledged();
  const before = link.messages.all.length;
  await until(() => link.messages.all.length >= before + 3);
  t.true(link.messages.all.slice(before).every(({ message }) => message.case === "beat"));
  link.end();
  server.close();
  await client.close();
});

test("closing finishes what runs, gives back what waits and what comes late, then half-closes", async (t) => {
  const { handler, open, started } = gate();
  const { link, worker } = await scene(t, handler, { concurrency: 1, prefetch: 1, drainTimeout: "10s" });
  link.assign({}, {});
  await link.acknowledged();
  const closing = worker.close();
  await link.next("drain");
  const back = await link.reports.take();
  t.like(back, { attempt: { taskId: "t1" }, outcome: { case: "givenBack" } });
  link.assign({ attempt: { ...back.attempt!, taskId: "late", lease: 999_999n } });
  const late = await link.reports.take();
  t.like(late, { attempt: { taskId: "late" }, outcome: { case: "givenBack" } });
  open("t0");
  const done = await link.reports.take();
  t.is(outputOf(done), "t0");
  for (const report of [back, late, done]) link.ack(report);
  await link.ended;
  link.end();
  await closing;
  t.deepEqual(started, ["t0"]);
  t.is(link.credit, 2, "a worker that drains grants nothing");
});

test("what does not end within the drain timeout is told to stop and given back", async (t) => {
  const stubborn = new Set<string>();
  const { link, worker } = await scene(
    t,
    (_input, { signal, taskId }) => {
      stubborn.add(taskId);
      if (taskId === "t1") return new Promise(() => undefined);
      return new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    },
    { drainTimeout: 20 },
  );
  link.assign({}, {});
  await until(() => stubborn.size === 2);
  const closing = worker.close();
  const reports = [await link.reports.take(), await link.reports.take()];
  t.deepEqual(
    reports.map((report) => [report.attempt?.taskId, report.outcome.case]),
    [
      ["t0", "givenBack"],
      ["t1", "givenBack"],
    ],
  );
  for (const report of reports) link.ack(report);
  await link.ended;
  link.end();
  await closing;
});

test("a worker drains on the stream that it has reconnected to", async (t) => {
  const { handler, open } = gate();
  const { server, proxy, link, worker } = await scene(t, handler, { drainTimeout: "10s" });
  link.assign({});
  await link.acknowledged();
  const closing = worker.close();
  await link.next("drain");
  proxy.cut();
  const second = await server.links.take();
  t.is(second.hello.credit, 0);
  second.welcome({ resumed: true });
  await second.next("drain");
  open("t0");
  const done = await second.reports.take();
  second.ack(done);
  await second.ended;
  second.end();
  await closing;
  t.is(outputOf(done), "t0");
});

test("a server that drains is left when it ends the stream, without a warning", async (t) => {
  const { handler, open } = gate();
  const { server, link, warnings } = await scene(t, handler);
  link.assign({});
  await link.acknowledged();
  link.send({ case: "drain", value: { reason: "deploy" } as never });
  await link.acknowledged();
  link.fail(new Refusal(Status.UNAVAILABLE, "DRAINING", "The server goes away"));
  const second = await server.links.take();
  t.is(second.hello.resume?.held.length, 1);
  second.welcome({ resumed: true });
  open("t0");
  t.is(outputOf(await second.reports.take()), "t0");
  t.deepEqual(warnings, []);
});

test.serial("the first reconnect is immediate, and it goes on until the server is back", async (t) => {
  const { server, proxy, link } = await scene(t, () => 1);
  proxy.refuse(true);
  proxy.cut();
  await link.ended;
  await sleep(300);
  proxy.refuse(false);
  const second = await server.links.take();
  second.welcome({ resumed: true });
  second.assign({});
  t.is(outputOf(await second.reports.take()), 1);
  const before = performance.now();
  second.fail(new Refusal(Status.UNAVAILABLE, "DRAINING", "again"));
  await server.links.take();
  t.true(performance.now() - before < 200);
});

test("serve rejects when the server refuses the hello", async (t) => {
  const server = await ScriptedServer.start();
  const client = await connect({ address: server.address });
  const serving = client.serve(
    task("work", () => 1),
    { signals: false },
  );
  const link = await server.links.take();
  link.fail(
    new Refusal(Status.INVALID_ARGUMENT, "INVALID_FIELD", "handlers[0] is not allowed", {
      field: "handlers[0]",
      remedy: "Rename it.",
    }),
  );
  const error = await t.throwsAsync(serving, { instanceOf: HeadraceError });
  t.like(error, {
    reason: "INVALID_FIELD",
    code: "INVALID_ARGUMENT",
    field: "handlers[0]",
    retryable: false,
  });
  t.regex(error.message, /Rename it/);
  await client.close();
  server.close();
});

test("unknown options and double handlers are refused", async (t) => {
  const server = await ScriptedServer.start();
  const client = await connect({ address: server.address });
  await t.throwsAsync(
    client.serve(
      task("a", () => 1),
      { concurency: 3 } as never,
    ),
    { message: /concurency/ },
  );
  await t.throwsAsync(
    client.serve(
      task("a", () => 1),
      { concurrency: 0 },
    ),
    { message: /concurrency is 0/ },
  );
  await t.throwsAsync(client.serve([task("a", () => 1), task("a", () => 2)]), { message: /"a"/ });
  await client.close();
  server.close();
});
