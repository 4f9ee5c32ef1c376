import { create, toBinary } from "@bufbuild/protobuf";
import { status as GrpcCode, type StatusObject } from "@grpc/grpc-js";
import test from "ava";
import fc from "fast-check";
import { HeadraceError } from "../../server/core/errors.js";
import {
  ExecutionService,
  StartExecutionRequestSchema,
  StreamExecutionsRequestSchema,
} from "../../server/gen/headrace/v1/execution_service_pb.js";
import { ConnectRequestSchema, WorkerService } from "../../server/gen/headrace/v1/worker_service_pb.js";
import {
  PutWorkflowRequestSchema,
  WorkflowService,
} from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { failureOf, GrpcClient, type TestDuplex } from "../support/grpc-client.js";
import { EXECUTION_ID } from "../support/scripted-engine.js";
import { startTestEdge } from "../support/test-edge.js";

const RUNS = 150;

const attempt = { executionId: EXECUTION_ID, taskId: "t", attempt: 1, lease: 1n };
const payload = { data: Buffer.from('{"a":[1]}'), encoding: "json" };

const put = toBinary(
  PutWorkflowRequestSchema,
  create(PutWorkflowRequestSchema, {
    namespace: "n",
    spec: {
      name: "w",
      labels: { a: "b" },
      deadline: { seconds: 5n },
      tasks: [
        {
          id: "a",
          retry: { maxAttempts: 3, jitter: 0.5 },
          input: { source: { case: "literal", value: payload } },
        },
        { id: "b", dependsOn: ["a"], input: { source: { case: "fields", value: { fields: { x: "1" } } } } },
      ],
    },
  }),
);
const start = {
  workflow: "w",
  input: payload,
  executionId: EXECUTION_ID,
  labels: { a: "b" },
  deadline: { nanos: 5 },
};
const startOne = toBinary(StartExecutionRequestSchema, create(StartExecutionRequestSchema, { start }));
const startMany = toBinary(
  StreamExecutionsRequestSchema,
  create(StreamExecutionsRequestSchema, { starts: [{ tag: 1n, start, wait: true }] }),
);
const hello = { workerName: "w", handlers: ["h"], queues: ["q"], credit: 1 };
const helloBytes = toBinary(
  ConnectRequestSchema,
  create(ConnectRequestSchema, { message: { case: "hello", value: hello } }),
);
const reports = toBinary(
  ConnectRequestSchema,
  create(ConnectRequestSchema, {
    message: {
      case: "reports",
      value: { reports: [{ attempt, outcome: { case: "success", value: { output: payload } } }], credit: 1 },
    },
  }),
);

/** Bytes of a valid message of which some are changed, left out or doubled. */
function mutated(valid: Uint8Array): fc.Arbitrary<Buffer> {
  const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255), fc.constantFrom("set", "drop", "insert"));
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => {
    const bytes = [...valid];
    for (const [index, value, kind] of changes) {
      if (kind === "set") bytes[index] = value;
      else bytes.splice(index, kind === "drop" ? 1 : 0, ...(kind === "drop" ? [] : [value]));
    }
    return Buffer.from(bytes);
  });
}

/** Whatever comes back is an answer or a refusal with a reason; the server has not failed. */
function isRefusal(status: Pick<StatusObject, "code" | "details" | "metadata">): boolean {
  const internal: number = GrpcCode.INTERNAL;
  return failureOf(status).code !== internal;
}

test("no bytes make the server fail", async (t) => {
  const edge = await startTestEdge();
  const clients = {
    workflows: new GrpcClient(WorkflowService, edge.address),
    executions: new GrpcClient(ExecutionService, edge.address),
    workers: new GrpcClient(WorkerService, edge.address),
  };
  t.teardown(async () => {
    for (const client of Object.values(clients)) client.close();
    await edge.close(0);
  });
  const refuse = () => Promise.reject(new HeadraceError("OVERLOADED", "Not now"));
  edge.engine.workflows.put = refuse;
  edge.engine.executions.start = refuse;
  const unary = async (call: Promise<unknown>): Promise<boolean> =>
    call.then(
      () => true,
      (error: unknown) => isRefusal(error as StatusObject),
    );
  const stream = async (
    messages: readonly Buffer[],
    open: () => TestDuplex<Buffer, unknown>,
  ): Promise<boolean> => {
    const duplex = open();
    for (const message of messages) duplex.send(message);
    duplex.call.end();
    const status = await duplex.ended;
    return status.code === GrpcCode.OK || isRefusal(status);
  };
  const openStarts = () => clients.executions.duplex("streamExecutions") as TestDuplex<Buffer, unknown>;
  const openWorker = () => clients.workers.duplex("connect") as TestDuplex<Buffer, unknown>;
  const runs = { numRuns: RUNS };
  await fc.assert(
    fc.asyncProperty(mutated(put), (bytes) => unary(clients.workflows.unary("putWorkflow", bytes))),
    runs,
  );
  await fc.assert(
    fc.asyncProperty(mutated(startOne), (bytes) => unary(clients.executions.unary("startExecution", bytes))),
    runs,
  );
  await fc.assert(
    fc.asyncProperty(mutated(startMany), (bytes) => stream([bytes], openStarts)),
    runs,
  );
  await fc.assert(
    fc.asyncProperty(mutated(helloBytes), (bytes) => stream([bytes], openWorker)),
    runs,
  );
  const greeted = (bytes: Buffer) => stream([Buffer.from(helloBytes), bytes], openWorker);
  await fc.assert(fc.asyncProperty(mutated(reports), greeted), runs);
  t.deepEqual(
    edge.log.entries.all.filter(({ level }) => level === "error"),
    [],
  );
  t.is(Object.getPrototypeOf({}), Object.prototype);
});

test("names that are special to JavaScript are names like others", async (t) => {
  const edge = await startTestEdge();
  const client = new GrpcClient(ExecutionService, edge.address);
  t.teardown(async () => {
    client.close();
    await edge.close(0);
  });
  const seen: string[][] = [];
  edge.engine.executions.start = async (_namespace, { labels }) => {
    seen.push(Object.keys(labels).sort());
    return { executionId: EXECUTION_ID, created: true, version: "v", traceId: "t" };
  };
  const labels = Object.fromEntries(["__proto__", "constructor", "toString"].map((key) => [key, "x"]));
  await client.unary("startExecution", { start: { workflow: "w", labels } });
  t.deepEqual(seen, [["__proto__", "constructor", "toString"]]);
  t.is(({} as Record<string, unknown>).x, undefined);
});
