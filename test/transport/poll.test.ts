import type { ServiceError } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";
import { WorkerService } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { failureOf, GrpcClient, type FailedCall } from "../support/grpc-client.js";
import { EXECUTION_ID } from "../support/scripted-engine.js";
import { startTestEdge } from "../support/test-edge.js";

async function failure(t: ExecutionContext, call: Promise<unknown>): Promise<FailedCall> {
  return failureOf(await t.throwsAsync<ServiceError>(call as Promise<never>));
}

test("Poll and Report carry the work of workers without a stream", async (t) => {
  const edge = await startTestEdge({ limits: { messageBytes: 100_000, payloadBytes: 60_000 } });
  const client = new GrpcClient(WorkerService, edge.address);
  t.teardown(() => client.close());
  t.teardown(() => edge.close(0));
  const ref = { executionId: EXECUTION_ID, taskId: "t", mapIndex: -1, attempt: 1, lease: 9 };
  const assignment = (lease: number, bytes: number) => ({
    attempt: { ...ref, lease },
    ...{ handler: "h", queue: "q", workflow: "w", maxAttempts: 3, crashes: 0, traceparent: "" },
    input: { data: Buffer.alloc(bytes), encoding: "bytes" },
    ...{ deadlineAtMs: 1_500, heartbeatTimeoutMs: undefined, heartbeatDetails: undefined },
  });
  const helds: unknown[] = [];
  edge.engine.workers.poll = async (request) => {
    helds.push(request.held);
    t.like(request, {
      namespace: "default",
      workerName: "w",
      maxTasks: 3,
      waitMs: 60_000,
      sessionTimeoutMs: undefined,
    });
    const assignments = [
      assignment(1, 50_000),
      assignment(2, 40_000),
      assignment(3, 50_000),
      assignment(4, 1),
    ];
    return { sessionId: EXECUTION_ID, assignments, cancels: [] };
  };
  const given: unknown[] = [];
  edge.engine.workers.report = async ({ reports }) => {
    given.push(...reports);
    return {
      acks: reports.map(({ attempt }) => ({ attempt, result: "COMMITTED", reason: "", message: "" })),
      cancels: [],
    };
  };
  const poll = { workerName: "w", handlers: ["h"], queues: ["q"], maxTasks: 3, wait: { seconds: 60n } };
  const polled = await client.unary("poll", poll);
  t.deepEqual(
    polled.assignments.map(({ attempt }) => attempt?.lease),
    [1n, 2n],
    "what does not fit into one message is left out",
  );
  const held = { attempts: [{ ...ref, lease: 1n }] };
  await client.unary("poll", { ...poll, held });
  await client.unary("poll", { ...poll, held: {} });
  t.deepEqual(helds, [undefined, [{ ...ref, lease: 1 }], []], "nothing held is not the same as nothing said");
  const noLease = { attempts: [...held.attempts, { ...ref, lease: 0n }] };
  const refused = await failure(t, client.unary("poll", { ...poll, held: noLease }));
  t.is(refused.info.metadata.field, "held.attempts[1].lease");
  given.splice(2);
  const givenBack = [3, 4].map((lease) => ({ attempt: { ...ref, lease }, outcome: { kind: "givenBack" } }));
  t.deepEqual(given, givenBack, "and given back");
  const attempt = { ...ref, lease: 1n };
  const { acks } = await client.unary("report", {
    sessionId: EXECUTION_ID,
    reports: [
      { attempt, outcome: { case: "success", value: {} } },
      {
        attempt: { ...attempt, lease: 2n },
        outcome: { case: "success", value: { output: { data: Buffer.from("{") } } },
      },
      { attempt: { ...attempt, lease: 3n }, outcome: { case: undefined } },
      { attempt: { ...attempt, lease: 4n }, outcome: { case: "cancelled", value: { message: "m" } } },
    ],
  });
  t.deepEqual(
    acks.map(({ attempt: acked, result, reason }) => [acked?.lease, result, reason]),
    [
      [1n, 1, ""],
      [2n, 4, "INVALID_FIELD"],
      [3n, 4, "INVALID_FIELD"],
      [4n, 1, ""],
    ],
  );
  t.is((await failure(t, client.unary("report", {}))).info.metadata.field, "session_id");
});
