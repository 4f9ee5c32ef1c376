import { PassThrough } from "node:stream";
import test from "ava";
import type { Cli } from "../../server/cli/cli.js";
import { createProgram } from "../../server/cli/program.js";
import { createStyle } from "../../server/cli/style.js";
import { tableLines, type TableLayout } from "../../server/cli/table.js";
import { visibleWidth, wrap } from "../../server/cli/text.js";
import { ExecutionStatus, TaskStatus } from "../../server/gen/headrace/v1/execution_pb.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import { WorkerService } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { startDouble, unary, type ScriptedMethod } from "../support/grpc-double.js";

const ID = "01a2120f-c335-7259-885f-67590a1b2c3d";
const OTHER_ID = "01a2120f-c335-7259-885f-67590a1b2c3e";
const { method: executions } = ExecutionService;

/** What a command prints on a terminal of this width, by lines. */
async function onTerminal(columns: number, method: ScriptedMethod, ...args: string[]): Promise<string[]> {
  const stdout = Object.assign(new PassThrough({ encoding: "utf8" }), { isTTY: true, columns });
  const cli: Cli = {
    env: {},
    stdin: process.stdin,
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: process.stderr,
    interrupted: new AbortController().signal,
    loadServerParts: () => Promise.reject(new Error("no server runs here")),
  };
  const double = await startDouble([method]);
  try {
    const rest = ["--no-color", "--address", double.address];
    await createProgram(cli).parseAsync([...args, ...rest], { from: "user" });
  } finally {
    double.stop();
  }
  return String(stdout.read()).trimEnd().split("\n");
}

const listing = unary(executions.listExecutions, () => ({
  executions: [ID, OTHER_ID].map((executionId) => ({
    executionId,
    workflow: "nightly-settlement",
    status: ExecutionStatus.COMPLETED,
    labels: { team: "payments", region: "eu-central-1" },
    createdAt: { seconds: 1_700_000_000n },
    startedAt: { seconds: 1_700_000_000n },
    finishedAt: { seconds: 1_700_000_100n },
  })),
}));

for (const columns of [120, 80, 60, 40, 20]) {
  test(`list shows every execution id whole on a terminal of ${columns} columns`, async (t) => {
    const [head = "", ...rows] = await onTerminal(columns, listing, "list");
    t.regex(head, /^ID/);
    t.deepEqual(
      rows.map((row) => row.split(/\s/)[0]),
      [ID, OTHER_ID],
    );
    if (columns >= ID.length) {
      for (const line of [head, ...rows]) t.true(visibleWidth(line) <= columns, line);
    }
    if (columns >= 60) t.regex(rows[0] ?? "", / COMPLETED\b/);
  });
}

test("why loses nothing of its sentence on a narrow terminal", async (t) => {
  const message = 'No connected worker serves handler "charge-the-card" on queue "payments-eu-central".';
  const explaining = unary(executions.explainExecution, () => ({
    status: ExecutionStatus.RUNNING,
    reasons: [
      { taskId: "charge", mapIndex: -1, status: TaskStatus.READY, reason: "NO_WORKER", message },
      {
        taskId: "send",
        mapIndex: -1,
        status: TaskStatus.PENDING,
        reason: "DEPENDENCIES",
        message: "It waits.",
      },
    ],
  }));
  for (const columns of [80, 40]) {
    const lines = await onTerminal(columns, explaining, "why", ID);
    const text = lines.join(" ").replaceAll(/\s+/g, " ");
    for (const word of message.split(" ")) t.true(text.includes(word), word);
    t.notRegex(text, /…/);
    for (const line of lines) t.true(line.length <= columns, line);
    t.regex(lines.at(-1) ?? "", /^send .*It waits\.$/);
  }
});

test("workers leaves the session out where it has no room for it, and never shortens it", async (t) => {
  const worker = {
    sessionId: ID,
    name: "worker-1",
    queues: ["default"],
    handlers: ["charge", "send", "audit"],
  };
  const workers = unary(WorkerService.method.listWorkers, () => ({ workers: [worker] }));
  t.regex((await onTerminal(100, workers, "workers"))[1] ?? "", new RegExp(` ${ID}$`));
  const narrow = await onTerminal(60, workers, "workers");
  t.notRegex(narrow.join("\n"), /01a2|SESSION/);
  t.regex(narrow[1] ?? "", /charge, send, audit/);
});

test("columns are left out from the right before keys suffer", (t) => {
  const layout: TableLayout = { keys: ["KEY"] };
  const lines = (width: number) =>
    tableLines(["A", "KEY", "B"], [["a".repeat(12), "k".repeat(20), "b".repeat(12)]], {
      width,
      style: createStyle(false),
      layout,
    });
  t.is(lines(44)[1], `${"a".repeat(9)}…  ${"k".repeat(20)}  ${"b".repeat(9)}…`);
  t.is(lines(33)[1], `${"a".repeat(10)}…  ${"k".repeat(20)}`);
  t.is(lines(22)[1], "k".repeat(20));
  t.is(lines(5)[1], "k".repeat(20));
});

test("text is wrapped at spaces, and long words run on", (t) => {
  t.deepEqual(wrap("one two three", 7), ["one two", "three"]);
  t.deepEqual(wrap("a incomprehensibility b", 5), ["a", "incomprehensibility", "b"]);
  t.deepEqual(wrap("", 5), [""]);
});
