import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import test from "ava";
import { ExecutionStatus, TaskStatus } from "../../server/gen/headrace/v1/execution_pb.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import { WorkflowService } from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { startDouble, stream, unary } from "../support/grpc-double.js";
import { runCli } from "../support/run-cli.js";

const ID = "01a2120f-c335-7259-885f-67590a1b2c3d";
const { method: executions } = ExecutionService;
const BEGIN_MS = Date.UTC(2026, 0, 31);
const at = (second: number) => timestampFromMs(BEGIN_MS + second * 1_000);
const iso = (second: number) => new Date(BEGIN_MS + second * 1_000).toISOString();

const execution = { executionId: ID, workflow: "order", createdAt: at(0), startedAt: at(1) };
const running = { ...execution, status: ExecutionStatus.RUNNING, revision: 1n };
const cancelled = {
  ...execution,
  status: ExecutionStatus.CANCELLED,
  revision: 4n,
  finishedAt: at(9),
  taskCounts: { CANCELLED: 2 },
};
const task = { executionId: ID, taskId: "a", mapIndex: -1, attempt: 1, maxAttempts: 3 };
const methods = [
  unary(executions.getExecution, () => ({ execution: running })),
  unary(WorkflowService.method.getWorkflow, () => ({
    workflow: { name: "order", spec: { name: "order", tasks: [{ id: "a" }, { id: "b", dependsOn: ["a"] }] } },
  })),
  unary(executions.listTasks, () => ({
    tasks: [
      { ...task, status: TaskStatus.CANCELLED },
      { ...task, taskId: "b", attempt: 0, status: TaskStatus.CANCELLED },
    ],
  })),
  stream(executions.watchExecution, async function* () {
    const again = { status: TaskStatus.SCHEDULED, attempt: 2, dueAt: at(30) };
    yield { execution: running, tasks: [{ ...task, status: TaskStatus.READY, readyAt: at(2) }] };
    yield {
      execution: { ...running, revision: 2n },
      tasks: [{ ...task, status: TaskStatus.RUNNING, startedAt: at(3) }],
    };
    yield { execution: { ...running, revision: 3n }, tasks: [{ ...task, ...again }] };
    yield { execution: cancelled, tasks: [{ ...task, status: TaskStatus.CANCELLED, finishedAt: at(8) }] };
  }),
];

test("watch tells when things happened, and the end of the execution last", async (t) => {
  const double = await startDouble(methods);
  t.teardown(() => double.stop());
  const { stdout } = await runCli(["watch", ID, "--address", double.address]);
  const lines = stdout.trimEnd().split("\n");
  t.regex(lines[3] ?? "", new RegExp(`Z a SCHEDULED attempt 2/3 due ${iso(30)}$`));
  t.deepEqual(lines.toSpliced(3, 1), [
    `${iso(1)} execution ${ID} RUNNING`,
    `${iso(2)} a READY attempt 1/3`,
    `${iso(3)} a RUNNING attempt 1/3`,
    `${iso(8)} a CANCELLED attempt 1/3`,
    `${iso(9)} b CANCELLED`,
    `${iso(9)} execution ${ID} CANCELLED`,
  ]);
});

test("the lines of watch --json tell of as many tasks as they count", async (t) => {
  const double = await startDouble(methods);
  t.teardown(() => double.stop());
  const { stdout } = await runCli(["watch", ID, "--json", "--address", double.address]);
  const last = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as { tasks: { taskId: string }[] };
  t.deepEqual(
    last.tasks.map(({ taskId }) => taskId),
    ["a", "b"],
  );
});
