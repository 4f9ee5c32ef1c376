import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import test from "ava";
import { useDatabase } from "../support/database.js";
import { startServer } from "../support/server-process.js";

/** What this test reads of the answers, as the JSON mapping of the contract has it. */
interface Answer {
  readonly version: string;
  readonly executionId: string;
  readonly created: boolean;
  readonly sessionId: string;
  readonly assignments: ReadonlyArray<{
    readonly attempt: { readonly taskId: string; readonly attempt: number };
    readonly input: { readonly data: string };
  }>;
  readonly acks: ReadonlyArray<{ readonly result: string }>;
  readonly execution: { readonly output: { readonly data: string } };
  readonly attempts: readonly object[];
}

/** Calls by JSON with a client that knows nothing of the project but what reflection tells it. */
function curl(address: string) {
  return async (path: string, ...flags: string[]): Promise<string> => {
    const args = [
      "curl",
      "--http2-prior-knowledge",
      "--protocol",
      "grpc",
      ...flags,
      `http://${address}${path}`,
    ];
    const child = spawn("node_modules/.bin/buf", args, { stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close"),
    ]);
    if (child.exitCode !== 0) throw new Error(stderr);
    return stdout;
  };
}

function base64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64");
}

function fromBase64(data: string): unknown {
  return JSON.parse(Buffer.from(data, "base64").toString());
}

test("buf curl lists the services, puts a workflow, starts it, works for it and reads the result", async (t) => {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const { address } = await startServer(t, { databaseUrl });
  const ask = curl(address);
  const call = async (method: string, request: object): Promise<Answer> =>
    JSON.parse(await ask(`/headrace.v1.${method}`, "-d", JSON.stringify(request))) as Answer;

  const services = (await ask("", "--list-services")).trim().split("\n");
  for (const service of ["WorkflowService", "ExecutionService", "WorkerService"]) {
    t.true(services.includes(`headrace.v1.${service}`), service);
  }
  t.true(services.includes("grpc.health.v1.Health"));
  t.deepEqual(JSON.parse(await ask("/grpc.health.v1.Health/Check", "-d", "{}")), { status: "SERVING" });

  const charge = { id: "charge", retry: { maxAttempts: 2, initialInterval: "0.01s" } };
  const email = { id: "email", dependsOn: ["charge"], input: { expression: "tasks.charge.output.id" } };
  const spec = { name: "order", tasks: [charge, email], output: "tasks.email.output" };
  const stored = await call("WorkflowService/PutWorkflow", { spec });
  t.like(stored, { name: "order", created: true });

  const start = { workflow: "order", version: stored.version, input: { data: base64({ amount: 5 }) } };
  const { executionId, created } = await call("ExecutionService/StartExecution", { start });
  t.true(created);

  const worker = { workerName: "curl", handlers: ["charge", "email"], queues: ["default"], maxTasks: 10 };
  let sessionId = "";
  const work = async (outcome: object) => {
    const polled = await call("WorkerService/Poll", { ...worker, sessionId, wait: "10s" });
    sessionId = polled.sessionId;
    const [assignment] = polled.assignments;
    if (assignment === undefined) throw new Error("there is nothing to do");
    const { attempt, input } = assignment;
    const { acks } = await call("WorkerService/Report", { sessionId, reports: [{ attempt, ...outcome }] });
    t.is(acks[0]?.result, "ACK_RESULT_COMMITTED");
    return { task: attempt.taskId, attempt: attempt.attempt, input: fromBase64(input.data) };
  };
  const failure = { errorType: "Declined", message: "no money" };
  t.deepEqual(await work({ failure }), { task: "charge", attempt: 1, input: { amount: 5 } });
  t.deepEqual(await work({ success: { output: { data: base64({ id: "ch_5" }) } } }), {
    ...{ task: "charge", attempt: 2 },
    input: { amount: 5 },
  });
  t.deepEqual(await work({ success: { output: { data: base64("sent ch_5") } } }), {
    ...{ task: "email", attempt: 1 },
    input: "ch_5",
  });

  const { execution } = await call("ExecutionService/WaitExecution", { executionId });
  t.like(execution, { status: "EXECUTION_STATUS_COMPLETED", taskCounts: { COMPLETED: 2 } });
  t.is(fromBase64(execution.output.data), "sent ch_5");
  const { attempts } = await call("ExecutionService/GetTask", { executionId, taskId: "charge" });
  t.like(attempts[0], { attempt: 1, failure: { reason: "HANDLER_FAILED", ...failure } });

  const refusal = await t.throwsAsync(call("ExecutionService/GetExecution", { executionId: "42" }));
  t.like(JSON.parse(refusal.message), { code: "invalid_argument" });
  t.regex(refusal.message, /execution_id is no UUID/);
});
