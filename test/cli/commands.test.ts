import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { status } from "@grpc/grpc-js";
import test from "ava";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ExecutionStatus, TaskStatus } from "../../server/gen/headrace/v1/execution_pb.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import { WorkerService } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { WorkflowService } from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { refusal, startDouble, stream, unary, type ScriptedMethod } from "../support/grpc-double.js";
import { CLI_PATH, runCli, type CliOptions, type CliResult } from "../support/run-cli.js";

const ID = "0198c2f0-0000-7000-8000-000000000001";
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const json = (value: unknown) => ({ data: bytes(JSON.stringify(value)), encoding: "json" });
const folder = mkdtempSync(join(tmpdir(), "headrace-cli-"));
test.after.always(() => rmSync(folder, { recursive: true }));
/** A file of its own, whatever others are called. */
const file = (name: string, content: string): string => {
  const path = join(mkdtempSync(join(folder, "file-")), name);
  writeFileSync(path, content);
  return path;
};

/** Runs a command against a server that answers as scripted. */
async function against(
  methods: readonly ScriptedMethod[],
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const double = await startDouble(methods);
  try {
    return await runCli([...args, "--address", double.address], options);
  } finally {
    double.stop();
  }
}

const { method: executions } = ExecutionService;
const { method: workflows } = WorkflowService;

const started = unary(executions.startExecution, () => ({
  executionId: ID,
  created: true,
  version: "a1b2",
  traceId: "",
}));
const ended = (status: ExecutionStatus, rest: object = {}) =>
  unary(executions.waitExecution, () => ({
    execution: { executionId: ID, workflow: "order", status, ...rest },
  }));

test("run prints the output and nothing else on standard output", async (t) => {
  const output = json({ total: 5 });
  const result = await against([started, ended(ExecutionStatus.COMPLETED, { output })], ["run", "order"]);
  t.deepEqual(result, { code: 0, stdout: '{\n  "total": 5\n}\n', stderr: `execution ${ID}\n` });
});

test("run leaves numbers beyond 2^53 and other encodings as they are", async (t) => {
  const large = { data: bytes('{"id":12345678901234567890}'), encoding: "json" };
  const result = await against(
    [started, ended(ExecutionStatus.COMPLETED, { output: large })],
    ["run", "order"],
  );
  t.is(result.stdout, '{"id":12345678901234567890}\n');
  const raw = { data: bytes("raw\n"), encoding: "text/plain" };
  const other = await against([started, ended(ExecutionStatus.COMPLETED, { output: raw })], ["run", "order"]);
  t.is(other.stdout, "raw\n");
});

test("run --json prints the execution in the proto JSON form with its defaults", async (t) => {
  const result = await against(
    [started, ended(ExecutionStatus.COMPLETED, { output: json(1) })],
    ["run", "order", "--json"],
  );
  t.is(result.code, 0);
  t.is(result.stderr, "");
  const execution = JSON.parse(result.stdout) as Record<string, unknown>;
  t.is(execution["status"], "EXECUTION_STATUS_COMPLETED");
  t.is(execution["revision"], "0");
  t.deepEqual(execution["labels"], {});
  t.deepEqual(execution["output"], { data: "MQ==", encoding: "json" });
});

for (const end of ["FAILED", "CANCELLED", "TIMED_OUT"] as const) {
  test(`run exits with 1 when the execution is ${end}`, async (t) => {
    const cause = { reason: "HANDLER_FAILED", errorType: "CardDeclined", message: "no funds" };
    const failure = { reason: "TASK_FAILED", message: "a task failed", taskId: "charge", cause };
    const result = await against([started, ended(ExecutionStatus[end], { failure })], ["run", "order"]);
    t.is(result.code, 1);
    t.is(result.stdout, "");
    t.is(
      result.stderr,
      `execution ${ID}\nerror: execution ${ID} is ${end}: a task failed (TASK_FAILED)\n` +
        `  caused by no funds (CardDeclined)\n→ see \`headrace get ${ID} --tasks\`\n`,
    );
  });
}

test("run waits again when the server's wait is over or the server goes away", async (t) => {
  let calls = 0;
  const waiting = unary(executions.waitExecution, () => {
    calls += 1;
    if (calls === 1) throw refusal(status.DEADLINE_EXCEEDED, "not yet", { reason: "WAIT_OVER" });
    if (calls === 2) throw refusal(status.UNAVAILABLE, "going away", { reason: "DRAINING" });
    return { execution: { executionId: ID, status: ExecutionStatus.COMPLETED } };
  });
  const result = await against([started, waiting], ["run", "order"]);
  t.is(result.code, 0);
  t.is(calls, 3);
});

test("run gives up waiting after --timeout, and the execution goes on", async (t) => {
  const never = unary(executions.waitExecution, () => new Promise<never>(() => undefined));
  const result = await against([started, never], ["run", "order", "--timeout", "50ms"]);
  t.is(result.code, 1);
  t.regex(result.stderr, /has not ended after 50ms; it goes on\n→ follow it with `headrace watch 0198/);
});

test("an interrupt ends run with 130 and says that the execution goes on", async (t) => {
  let waiting = (): void => undefined;
  const isWaiting = new Promise<void>((resolve) => (waiting = resolve));
  const never = unary(executions.waitExecution, () => {
    waiting();
    return new Promise<never>(() => undefined);
  });
  const result = await against([started, never], ["run", "order"], {
    during: async (child) => {
      await isWaiting;
      child.kill("SIGINT");
    },
  });
  t.is(result.code, 130);
  t.regex(result.stderr, /interrupted; execution 0198.* goes on\n→ follow it with/);
});

test("what start is told reaches the server, and it prints the id", async (t) => {
  let asked: unknown;
  const starting = unary(executions.startExecution, ({ namespace, start }) => {
    asked = { namespace, ...start, input: new TextDecoder().decode(start?.input?.data) };
    return { executionId: ID };
  });
  const args = ["start", "order", "--input", "-", "--label", "team=a=b", "--label", "x=", "--key", "k1"];
  const more = [
    "--namespace",
    "shop",
    "--deadline",
    "90s",
    "--priority",
    "-5",
    "--version",
    "abc123",
    "--cache",
    "bypass",
  ];
  const result = await against([starting], [...args, ...more], { input: '{"n": 1e400}' });
  t.deepEqual([result.code, result.stdout, result.stderr], [0, `${ID}\n`, ""]);
  t.like(asked, {
    namespace: "shop",
    workflow: "order",
    version: "abc123",
    input: '{"n": 1e400}',
    labels: { team: "a=b", x: "" },
    idempotencyKey: "k1",
    priority: -5,
    cacheMode: 3,
    deadline: { seconds: 90n },
  });
});

test("an input may come from a file", async (t) => {
  let input = "";
  const starting = unary(executions.startExecution, ({ start }) => {
    input = new TextDecoder().decode(start?.input?.data);
    return { executionId: ID };
  });
  t.is((await against([starting], ["start", "order", "-i", `@${file("in.json", "[1, 2]")}`])).code, 0);
  t.is(input, "[1, 2]");
});

const wrongUsages: [args: string[], error: RegExp][] = [
  [["run"], /^error: missing required argument 'workflow'\n→ see `headrace run --help`\n$/],
  [
    ["workflows", "put"],
    /^error: missing required argument 'file'\n→ see `headrace workflows put --help`\n$/,
  ],
  [["start", "x", "--deadline", "0s"], /^error: "0s" of --deadline is not from 1ms to 3650d\n→ correct it/],
  [
    ["workflows", "put", "nofile.json"],
    /^error: the file nofile\.json cannot be read: there is no such file\n→ correct the path\n$/,
  ],
  [["run", "x", "--inptu", "1"], /^error: unknown option '--inptu'\n→ did you mean --input\?\n$/],
  [["run", "x", "--adress", "h:1"], /^error: unknown option '--adress'\n→ did you mean --address\?\n$/],
  [["runn", "x"], /^error: unknown command 'runn'\n→ did you mean run\?\n$/],
  [["start", "x", "--input", "{a"], /^error: the value of --input is not JSON: .*\n→ write text in quotes/],
  [
    ["start", "x", "--input", "@/nowhere.json"],
    /^error: the file \/nowhere\.json of --input cannot be read: there is no such file\n→ correct the path\n$/,
  ],
  [["start", "x", "--label", "team"], /^error: the label "team" is not of the form key=value\n/],
  [["start", "x", "--label", "a=1", "--label", "a=2"], /^error: the label a is given twice\n/],
  [
    ["start", "x", "--priority", "101"],
    /^error: "101" of --priority is not a whole number from -100 to 100\n/,
  ],
  [["start", "x", "--cache", "never"], /^error: "never" of --cache is no mode\n→ write use or bypass\n$/],
  [
    ["run", "x", "--timeout", "30"],
    /^error: "30" of --timeout is not a duration\n→ write a number with its unit/,
  ],
  [
    ["list", "--status", "runing"],
    /^error: "runing" is no status of an execution\n→ did you mean RUNNING\?\n$/,
  ],
  [["list", "--since", "yesterday"], /^error: "yesterday" of --since is not a time\n/],
  [["list", "--limit", "0"], /^error: "0" of --limit is not a whole number from 1 to 100000\n/],
  [["get", ID, "--tasks", "--task", "a"], /^error: --tasks and --task exclude each other\n/],
  [["list", "extra"], /^error: too many arguments for 'list'/],
  [
    ["serve"],
    /^error: a server needs a PostgreSQL database, and DATABASE_URL is not set\n→ set DATABASE_URL=/,
  ],
  [["migrate"], /^error: DATABASE_URL is not set, so there is nothing to migrate\n/],
  [
    ["serve", "--namespace", "x"],
    /^error: --namespace is for commands that call a server, `headrace serve` does not\n/,
  ],
  [["dev", "--port", "99999"], /^error: --port is "99999", the maximum is 65535\n/],
];

for (const [args, error] of wrongUsages) {
  test(`wrong usage exits with 2 before anything is called: ${args.join(" ")}`, async (t) => {
    // Global options of the client are wrong with commands of the server, so the address comes by the variable.
    const result = await runCli(args, { env: { HEADRACE_ADDRESS: "127.0.0.1:1" } });
    t.is(result.code, 2);
    t.is(result.stdout, "");
    t.regex(result.stderr, error);
  });
}

test("an address that is none, an unknown variable and a token in plaintext are refused", async (t) => {
  const address = await runCli(["list", "--address", "localhost"]);
  t.is(address.code, 2);
  t.regex(address.stderr, /the address "localhost" is not of the form host:port/);
  const variable = await runCli(["list"], { env: { HEADRACE_ADRESS: "h:1" } });
  t.is(variable.code, 2);
  t.regex(variable.stderr, /HEADRACE_ADRESS is no setting; did you mean HEADRACE_ADDRESS\?/);
  const token = await runCli(["list", "--address", "example.com:7400"], {
    env: { HEADRACE_TOKEN: "secret" },
  });
  t.is(token.code, 2);
  t.regex(token.stderr, /HEADRACE_TOKEN would go to example\.com:7400 in plaintext/);
  t.notRegex(token.stderr, /secret/);
  const authorities = await runCli(["list", "--tls-ca", "/nowhere.pem"]);
  t.is(authorities.code, 2);
  t.regex(authorities.stderr, /the file \/nowhere\.pem of --tls-ca cannot be read: there is no such file/);
});

test("a server that is not there is told with what to do, as JSON too", async (t) => {
  const free = await startDouble([]);
  free.stop();
  const result = await runCli(["list", "--address", free.address]);
  t.is(result.code, 4);
  t.is(
    result.stderr,
    `error: no server can be reached at ${free.address}: connect ECONNREFUSED ${free.address}\n` +
      "→ start one with `headrace dev`, or name another with --address or HEADRACE_ADDRESS\n",
  );
  const asJson = await runCli(["list", "--json", "--address", free.address]);
  t.is(asJson.code, 4);
  t.is(asJson.stdout, "");
  const { error } = JSON.parse(asJson.stderr) as { error: Record<string, unknown> };
  t.is(error["exitCode"], 4);
  t.is(error["reason"], "UNAVAILABLE");
  t.true(error["retryable"]);
});

test("the token goes with every call", async (t) => {
  let token: unknown;
  const listing = unary(executions.listExecutions, (_, { metadata }) => {
    token = metadata.get("authorization")[0];
    return {};
  });
  await against([listing], ["list"], { env: { HEADRACE_TOKEN: "t0ken" } });
  t.is(token, "Bearer t0ken");
});

const refusals: [code: status, reason: string | undefined, exitCode: number][] = [
  [status.INVALID_ARGUMENT, "INVALID_FIELD", 2],
  [status.NOT_FOUND, "EXECUTION_NOT_FOUND", 3],
  [status.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT", 5],
  [status.RESOURCE_EXHAUSTED, "OVERLOADED", 5],
  [status.FAILED_PRECONDITION, "PROTOCOL_VIOLATION", 5],
  [status.UNIMPLEMENTED, "NOT_SUPPORTED_YET", 5],
  [status.UNIMPLEMENTED, undefined, 5],
  [status.INTERNAL, "INTERNAL", 70],
  [status.UNAVAILABLE, "DATABASE_UNAVAILABLE", 4],
  [status.UNKNOWN, undefined, 70],
];

for (const [code, reason, exitCode] of refusals) {
  test(`status ${status[code]} with ${reason ?? "no reason"} exits with ${exitCode}`, async (t) => {
    const getting = unary(executions.getExecution, () => {
      throw refusal(code, "what is wrong", reason === undefined ? {} : { reason });
    });
    const result = await against([getting], ["get", ID]);
    t.is(result.code, exitCode);
    t.regex(result.stderr, /what is wrong/);
  });
}

test("an error tells the field, the limit, the value, every violation and the remedy once", async (t) => {
  const getting = unary(executions.getExecution, () => {
    throw refusal(status.INVALID_ARGUMENT, "The input is too large. Store it elsewhere.", {
      reason: "PAYLOAD_TOO_LARGE",
      metadata: {
        field: "start.input",
        limit: "10",
        actual: "11",
        remedy: "Store it elsewhere.",
        retryable: "false",
      },
      violations: [
        { field: "tasks[2].depends_on[0]", reason: "UNKNOWN_TASK", description: 'no task "b"' },
        { field: "", reason: "MORE", description: "3 more are not listed" },
      ],
    });
  });
  const result = await against([getting], ["get", ID]);
  t.is(
    result.stderr,
    "error: The input is too large.\n  field start.input, limit 10, actual 11\n" +
      '  - tasks[2].depends_on[0]: no task "b"\n  - 3 more are not listed\n→ Store it elsewhere.\n',
  );
  const asJson = JSON.parse((await against([getting], ["get", ID, "--json"])).stderr) as { error: object };
  t.like(asJson.error, {
    reason: "PAYLOAD_TOO_LARGE",
    field: "start.input",
    limit: "10",
    retryable: false,
    exitCode: 2,
  });
});

const nowMs = Date.now();
const execution = {
  executionId: ID,
  workflow: "order",
  version: "0123456789abcdef0123456789abcdef",
  status: ExecutionStatus.RUNNING,
  labels: { team: "a" },
  taskCounts: { COMPLETED: 1, RUNNING: 2 },
  traceId: "abcd",
  input: json({ amount: 5 }),
  createdAt: timestampFromMs(nowMs - 65_000),
  startedAt: timestampFromMs(nowMs - 65_000),
};

test("list shows a table, passes its filters on and reads as many pages as the limit needs", async (t) => {
  const asked: object[] = [];
  const listing = unary(executions.listExecutions, (request) => {
    asked.push(request);
    return { executions: [execution], nextPageToken: `p${asked.length}` };
  });
  const filters = ["--workflow", "order", "--status", "running,failed", "--label", "team=a", "--since", "1h"];
  const result = await against([listing], ["list", ...filters, "--limit", "2"]);
  t.is(result.code, 0);
  t.like(asked[0], {
    pageSize: 2,
    pageToken: "",
    filter: { workflow: "order", statuses: [2, 5], labels: { team: "a" } },
  });
  t.like(asked[1], { pageSize: 1, pageToken: "p1" });
  t.is(asked.length, 2);
  const lines = result.stdout.split("\n");
  t.regex(lines[0] ?? "", /^ID +WORKFLOW +STATUS +CREATED +TOOK +LABELS$/);
  t.regex(lines[1] ?? "", new RegExp(`^${ID}  order     RUNNING  1 min \\d+ s ago  1 min \\d+ s  team=a$`));
  t.is(lines[3], "more: --page-token p2, or a larger --limit");
  const asJson = JSON.parse((await against([listing], ["list", "--limit", "1", "--json"])).stdout) as {
    executions: unknown[];
    nextPageToken: string;
  };
  t.is(asJson.executions.length, 1);
  t.is(asJson.nextPageToken, "p3");
});

test("a list that is read by a program that stops early ends quietly", async (t) => {
  const many = Array.from({ length: 1_000 }, () => ({ ...execution, workflow: "w".repeat(200) }));
  const double = await startDouble([unary(executions.listExecutions, () => ({ executions: many }))]);
  const script = 'set -o pipefail; "$0" "$1" list --limit 1000 --address "$2" | head -1';
  const child = spawn("bash", ["-c", script, process.execPath, CLI_PATH, double.address]);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  double.stop();
  t.is(code, 0);
  t.regex(stdout, /^ID +WORKFLOW [^\n]*\n$/);
  t.is(stderr, "");
});

test("get shows an execution with its payloads and the link of its trace", async (t) => {
  const getting = unary(executions.getExecution, () => ({ execution }));
  const env = { HEADRACE_TRACE_URL: "http://traces/{trace_id}" };
  const { stdout } = await against([getting], ["get", ID], { env });
  t.regex(stdout, /^execution {2}0198/);
  t.regex(stdout, /^tasks {6}1 completed, 2 running$/m);
  t.regex(stdout, /^trace {6}abcd {2}http:\/\/traces\/abcd$/m);
  t.regex(stdout, /\ninput\n\{\n {2}"amount": 5\n\}\n$/);
  t.notRegex(stdout, /failure|deadline|parent/);
});

const failedTask = {
  executionId: ID,
  taskId: "charge",
  mapIndex: -1,
  status: TaskStatus.FAILED,
  handler: "pay",
  queue: "slow",
  attempt: 2,
  maxAttempts: 3,
  worker: "w\u001b[31m1",
  failure: {
    reason: "HANDLER_FAILED",
    errorType: "CardDeclined",
    message: "no\nfunds",
    stackTrace: "at a\nat b",
  },
  startedAt: timestampFromMs(nowMs - 2_500),
  finishedAt: timestampFromMs(nowMs - 1_000),
};

test("get --tasks lists the tasks; nothing of others can drive the terminal", async (t) => {
  const listing = unary(executions.listTasks, () => ({
    tasks: [failedTask, { ...failedTask, mapIndex: 3 }],
  }));
  const { stdout } = await against([listing], ["get", ID, "--tasks"]);
  const [head, first, second] = stdout.split("\n");
  t.is(head, "TASK       STATUS  ATTEMPT  TOOK   WORKER   FAILURE");
  t.is(first, "charge     FAILED  2/3      1.5 s  w\ufffd[31m1  no funds (CardDeclined)");
  t.regex(second ?? "", /^charge\[3\] {2}FAILED/);
});

test("get --task shows a task with its stack and earlier attempts", async (t) => {
  let asked: object = {};
  const getting = unary(executions.getTask, (request) => {
    asked = request;
    const attempts = [{ attempt: 1, worker: "w2", failure: { reason: "WORKER_LOST", message: "gone" } }];
    return { task: { ...failedTask, output: json(1) }, attempts };
  });
  const { stdout } = await against([getting], ["get", ID, "--task", "charge[3]"]);
  t.like(asked, { taskId: "charge", mapIndex: 3 });
  t.regex(stdout, /^handler {4}pay on queue slow$/m);
  t.regex(stdout, /^stack {6}at a\n {11}at b$/m);
  t.regex(stdout, /\noutput\n1\n\nearlier attempts\nATTEMPT .*\n1 .* w2 .* gone \(WORKER_LOST\)\n$/s);
});

test("cancel passes reason and grace on and tells whether it was accepted", async (t) => {
  let asked: object = {};
  const cancelling = unary(executions.cancelExecution, (request) => {
    asked = request;
    return { accepted: true, status: ExecutionStatus.RUNNING };
  });
  const result = await against([cancelling], ["cancel", ID, "--reason", "wrong order", "--grace", "0s"]);
  t.is(result.stdout, "cancelling, now RUNNING\n");
  t.like(asked, { executionId: ID, reason: "wrong order", grace: { seconds: 0n } });
  const over = unary(executions.cancelExecution, (request) => {
    asked = request;
    return { accepted: false, status: ExecutionStatus.COMPLETED };
  });
  const again = await against([over], ["cancel", ID]);
  t.is(again.stdout, "nothing to do, it is COMPLETED\n");
  t.like(asked, { grace: undefined });
});

test("why lists reasons, or says that nothing waits", async (t) => {
  const reason = {
    taskId: "charge",
    mapIndex: -1,
    status: TaskStatus.READY,
    reason: "NO_WORKER",
    message: "no worker",
  };
  const explaining = unary(executions.explainExecution, ({ taskId }) => ({
    status: taskId === "" ? ExecutionStatus.RUNNING : ExecutionStatus.COMPLETED,
    reasons: taskId === "" ? [{ ...reason, until: timestampFromMs(Date.now() + 12_500) }] : [],
  }));
  const { stdout } = await against([explaining], ["why", ID]);
  t.regex(
    stdout,
    /^TASK {4}STATUS {2}REASON {5}UNTIL {4}MESSAGE\ncharge {2}READY {3}NO_WORKER {2}in 1\d s {2}no worker\n$/,
  );
  t.is((await against([explaining], ["why", ID, "charge"])).stdout, "nothing waits: it is COMPLETED\n");
});

test("workers lists the workers of the namespace", async (t) => {
  const worker = {
    sessionId: "s1",
    name: "w1",
    handlers: ["a", "b"],
    queues: ["default"],
    sdkName: "python",
    sdkVersion: "1.0",
    slots: 10,
    held: 3,
    draining: true,
    connectedAt: timestampFromMs(nowMs - 3_600_000),
  };
  const listing = unary(WorkerService.method.listWorkers, ({ namespace }) => ({
    workers: namespace === "default" ? [worker] : [],
  }));
  const { stdout } = await against([listing], ["workers"]);
  t.regex(stdout, /\nw1 draining {2}3\/10 {2}default {2}a, b {6}python 1\.0 {2}1 h ago {4}s1\n$/);
  const none = await against([listing], ["workers"], { env: { HEADRACE_NAMESPACE: "empty" } });
  t.is(none.stdout, "no worker is connected to namespace empty\n");
});

const spec = {
  name: "order",
  tasks: [{ id: "a" }, { id: "b", depends_on: ["a"], timeouts: { attempt: "10s" } }],
};

test("workflows are put from a file or standard input, shown and listed", async (t) => {
  let put: object = {};
  const putting = unary(workflows.putWorkflow, (request) => {
    put = request;
    return { name: "order", version: "v1", created: true };
  });
  const stored = await against([putting], ["workflows", "put", file("order.json", JSON.stringify(spec))]);
  t.is(stored.stdout, "order v1 stored\n");
  t.like(put, {
    spec: { name: "order", tasks: { 1: { dependsOn: ["a"], timeouts: { attempt: { seconds: 10n } } } } },
  });
  const piped = await against([putting], ["workflows", "put", "-", "--json"], {
    input: JSON.stringify(spec),
  });
  t.deepEqual(JSON.parse(piped.stdout), { name: "order", version: "v1", created: true });
  const getting = unary(workflows.getWorkflow, () => ({
    workflow: {
      name: "order",
      version: "v1",
      latest: true,
      spec: { name: "order", tasks: [{ id: "a" }, { id: "b", queue: "q", dependsOn: ["a"] }] },
    },
  }));
  const { stdout } = await against([getting], ["workflows", "get", "order"]);
  t.regex(stdout, /\nTASK {2}HANDLER {2}QUEUE {4}DEPENDS ON\na {5}a {8}default\nb {5}b {8}q {8}a\n$/);
  const summary = { name: "order", version: "v1", taskCount: 2, description: "sells", latest: true };
  const listing = unary(workflows.listWorkflows, () => ({ workflows: [summary] }));
  t.regex((await against([listing], ["workflows", "list"])).stdout, /\norder {2}v1 {7}2 {6}sells\n$/);
  const versions = unary(workflows.listWorkflowVersions, () => ({ versions: [summary] }));
  t.regex((await against([versions], ["workflows", "versions", "order"])).stdout, /\nv1 .* sells +latest\n$/);
});

test("a workflow file with unknown fields names each with its path", async (t) => {
  const content = JSON.stringify({
    ...spec,
    tasks: [{ id: "a", retries: 3, retry: { maxAttempt: 3 } }],
    lables: {},
  });
  const result = await runCli(["workflows", "put", file("order.json", content), "--address", "127.0.0.1:1"]);
  t.is(result.code, 2);
  t.regex(result.stderr, /tasks\[0\]\.retries: no field of TaskSpec/);
  t.regex(
    result.stderr,
    /tasks\[0\]\.retry\.maxAttempt: no field of RetryPolicy; did you mean "maxAttempts"\?/,
  );
  t.regex(result.stderr, /lables: no field of WorkflowSpec; did you mean "labels"\?/);
  const wrongType = await runCli(["workflows", "put", file("x.json", '{"name":"x","tasks":[{"id":3}]}')]);
  t.is(wrongType.code, 2);
  t.regex(wrongType.stderr, /is not a workflow: cannot decode field headrace\.v1\.TaskSpec\.id/);
  const noJson = await runCli(["workflows", "put", file("x.json", "{")]);
  t.is(noJson.code, 2);
  t.regex(noJson.stderr, /x\.json is not JSON/);
});

test("validate tells every problem and exits with 2", async (t) => {
  const validating = unary(workflows.validateWorkflow, ({ againstWorkers }) =>
    againstWorkers
      ? {
          valid: false,
          problems: [{ path: "tasks[0]", reason: "NO_WORKER", message: "no worker serves it" }],
        }
      : { valid: true, version: "v1" },
  );
  const path = file("order.json", JSON.stringify(spec));
  const valid = await against([validating], ["workflows", "validate", path]);
  t.deepEqual([valid.code, valid.stdout], [0, "order is valid, version v1\n"]);
  const invalid = await against([validating], ["workflows", "validate", path, "--against-workers"]);
  t.is(invalid.code, 2);
  t.regex(invalid.stderr, /is not a valid workflow\n {2}- tasks\[0\]: no worker serves it\n/);
});

const got = unary(executions.getExecution, () => ({ execution: { ...execution, input: undefined } }));
const gotWorkflow = unary(workflows.getWorkflow, () => ({
  workflow: { name: "order", spec: { name: "order", tasks: [{ id: "a" }, { id: "b", dependsOn: ["a"] }] } },
}));
const taskA = { executionId: ID, taskId: "a", mapIndex: -1, attempt: 1, maxAttempts: 3, worker: "w1" };
const updates = [
  { execution: { ...execution, revision: 1n }, tasks: [{ ...taskA, status: TaskStatus.RUNNING }] },
  { execution: { ...execution, revision: 2n }, tasks: [{ ...taskA, status: TaskStatus.COMPLETED }] },
  {
    execution: { ...execution, revision: 3n, status: ExecutionStatus.COMPLETED, output: json("done") },
    tasks: [{ ...taskA, taskId: "b", status: TaskStatus.COMPLETED }],
  },
];

test("watch prints one line for each change where there is no terminal", async (t) => {
  const watching = stream(executions.watchExecution, async function* () {
    yield* updates;
  });
  const result = await against([got, gotWorkflow, watching], ["watch", ID]);
  t.is(result.code, 0);
  t.deepEqual(
    result.stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.replace(/^\S+Z /, "")),
    [
      `execution ${ID} RUNNING`,
      "a RUNNING attempt 1/3 w1",
      "a COMPLETED attempt 1/3 w1",
      "b COMPLETED attempt 1/3 w1",
      `execution ${ID} COMPLETED`,
    ],
  );
});

test("run --watch shows the changes on standard error and prints the output", async (t) => {
  const watching = stream(executions.watchExecution, async function* () {
    yield* updates;
  });
  const result = await against([started, got, gotWorkflow, watching], ["run", "order", "--watch"]);
  t.deepEqual([result.code, result.stdout], [0, '"done"\n']);
  t.regex(result.stderr, /Z b COMPLETED/);
});

test("watch --json prints one JSON object a line", async (t) => {
  const watching = stream(executions.watchExecution, async function* () {
    yield* updates;
  });
  const rest = unary(executions.listTasks, () => ({ tasks: [] }));
  const result = await against([watching, rest], ["watch", ID, "--json"]);
  const lines = result.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { execution: { revision: string } });
  t.deepEqual(
    lines.map((line) => line.execution.revision),
    ["1", "2", "3"],
  );
});

test("a broken watch goes on from the last revision; one that fails at once ends", async (t) => {
  const asked: bigint[] = [];
  const watching = stream(executions.watchExecution, async function* ({ afterRevision }) {
    asked.push(afterRevision);
    if (asked.length === 1) {
      yield updates[0]!;
      throw refusal(status.UNAVAILABLE, "going away", { reason: "DRAINING" });
    }
    // The server ends the stream in good order before the execution has ended.
    yield updates[asked.length === 2 ? 1 : 2]!;
  });
  const result = await against([got, gotWorkflow, watching], ["watch", ID]);
  t.is(result.code, 0);
  t.deepEqual(asked, [0n, 1n, 0n]);
  t.regex(result.stdout, /connection lost, trying again: going away/);
  const failing = stream(executions.watchExecution, async function* () {
    throw refusal(status.UNAVAILABLE, "no database", { reason: "DATABASE_UNAVAILABLE" });
    yield updates[0]!;
  });
  t.is((await against([got, gotWorkflow, failing], ["watch", ID])).code, 4);
});

test("watch exits with 1 when the execution failed", async (t) => {
  const failed = {
    ...execution,
    revision: 1n,
    status: ExecutionStatus.FAILED,
    failure: { reason: "X", message: "y" },
  };
  const watching = stream(executions.watchExecution, async function* () {
    yield { execution: failed, tasks: [] };
  });
  const listing = unary(executions.listTasks, () => ({
    tasks: [
      { ...taskA, taskId: "b", attempt: 0, status: TaskStatus.SKIPPED },
      { ...taskA, status: TaskStatus.CANCELLED },
    ],
  }));
  const result = await against([got, gotWorkflow, watching, listing], ["watch", ID]);
  t.is(result.code, 1);
  t.regex(result.stderr, /is FAILED: y \(X\)/);
  t.regex(result.stdout, /Z a CANCELLED.*\n.*Z b SKIPPED/, "what never got a row is told in the end");
});
