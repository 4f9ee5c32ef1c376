import test from "ava";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  applyUpdate,
  countStatuses,
  createModel,
  type ExecutionModel,
} from "../../server/cli/execution-model.js";
import { renderView, type ViewOptions } from "../../server/cli/live-view.js";
import { LiveTerminal } from "../../server/cli/live-terminal.js";
import { createStyle } from "../../server/cli/style.js";
import { tableLines } from "../../server/cli/table.js";
import { cut, durationLabel, manyLines, oneLine, relativeTime, visibleWidth } from "../../server/cli/text.js";
import { changeText } from "../../server/cli/line-watch.js";
import {
  CacheOutcome,
  ExecutionSchema,
  ExecutionStatus,
  TaskSchema,
  TaskStatus,
} from "../../server/gen/headrace/v1/execution_pb.js";
import {
  WaitReasonSchema,
  WatchExecutionResponseSchema,
} from "../../server/gen/headrace/v1/execution_service_pb.js";
import { TaskSpecSchema } from "../../server/gen/headrace/v1/workflow_pb.js";

const NOW_MS = 1_700_000_100_000;
const plain: ViewOptions = { width: 100, height: 40, nowMs: NOW_MS, style: createStyle(false) };
const ago = (ms: number) => timestampFromMs(NOW_MS - ms);

type TaskInit = MessageInitShape<typeof TaskSchema> & {
  readonly taskId: string;
  readonly status: TaskStatus;
};

/** A model of a graph, given as "task": dependencies, and the states of its tasks. */
function modelOf(
  graph: Record<string, string[]>,
  tasks: TaskInit[] = [],
  status: number = ExecutionStatus.RUNNING,
): ExecutionModel {
  const specs = Object.entries(graph).map(([id, dependsOn]) => create(TaskSpecSchema, { id, dependsOn }));
  const execution = create(ExecutionSchema, {
    executionId: "0198c2f0",
    workflow: "order",
    status: status as ExecutionStatus,
    startedAt: ago(12_000),
  });
  const model = createModel(execution, specs);
  update(model, tasks);
  return model;
}

function update(model: ExecutionModel, tasks: TaskInit[]) {
  const full = tasks.map((task) => create(TaskSchema, { mapIndex: -1, maxAttempts: 3, ...task }));
  return applyUpdate(model, create(WatchExecutionResponseSchema, { tasks: full }));
}

test("a small graph is shown by depth, each task with what matters in its state", (t) => {
  const model = modelOf(
    {
      send: ["charge", "reserve"],
      check: [],
      charge: ["check"],
      reserve: ["check"],
      audit: [],
      note: [],
      old: [],
    },
    [
      {
        taskId: "check",
        status: TaskStatus.COMPLETED,
        attempt: 1,
        startedAt: ago(11_000),
        finishedAt: ago(10_650),
      },
      {
        taskId: "charge",
        status: TaskStatus.RUNNING,
        attempt: 2,
        worker: "w1",
        startedAt: ago(3_400),
        progress: { done: 3, total: 10, message: "page 3" },
      },
      { taskId: "reserve", status: TaskStatus.READY, attempt: 1, readyAt: ago(5_000) },
      {
        taskId: "audit",
        status: TaskStatus.SCHEDULED,
        attempt: 2,
        dueAt: timestampFromMs(NOW_MS + 4_000),
        failure: { reason: "HANDLER_FAILED", message: "SMTP\n421" },
      },
      {
        taskId: "note",
        status: TaskStatus.FAILED,
        attempt: 3,
        startedAt: ago(9_000),
        finishedAt: ago(8_000),
        failure: { reason: "HANDLER_FAILED", message: "no funds" },
      },
      { taskId: "old", status: TaskStatus.COMPLETED, attempt: 1, cacheOutcome: CacheOutcome.HIT },
    ],
  );
  model.reasons = [
    create(WaitReasonSchema, {
      taskId: "reserve",
      mapIndex: -1,
      reason: "NO_WORKER",
      message: "no worker serves it",
    }),
    create(WaitReasonSchema, {
      taskId: "send",
      mapIndex: -1,
      reason: "DEPENDENCIES",
      message: "waits for 2",
    }),
  ];
  t.deepEqual(
    renderView(model, plain),
    [
      "order  0198c2f0  RUNNING  12 s",
      "██████████░░░░░░░░░░░░░░  3/7 tasks  1 pending · 1 scheduled · 1 ready · 1 running · 2 completed · 1 failed",
      "",
      "  ✓ check    350 ms",
      "  ◷ audit               due in 4 s · attempt 2/3 · SMTP 421",
      "  ✗ note     1.0 s      failed · attempt 3/3 · no funds",
      "  ✓ old                 from cache",
      "  ● charge   3.4 s      attempt 2/3 · w1 · ███░░░░░░░ 30 % page 3",
      "  ○ reserve             ready for 5.0 s",
      "  · send                waits for charge, reserve",
      "",
      "waiting",
      "  reserve  NO_WORKER  no worker serves it",
    ].map((line) => cut(line, 100)),
  );
});

test("no line is wider than the terminal and no view is higher", (t) => {
  const graph = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`${"task-".repeat(5)}${index}`, []]),
  );
  const model = modelOf(graph);
  model.note = "connection lost";
  for (const [width, height] of [
    [20, 5],
    [40, 33],
    [80, 24],
    [10, 1],
  ] as const) {
    const lines = renderView(model, { ...plain, width, height, style: createStyle(true) });
    t.true(lines.length <= height, `${lines.length} lines`);
    for (const line of lines) t.true(visibleWidth(line) <= width, line);
  }
});

test("a large graph collapses into counts and the tasks that matter", (t) => {
  const ids = Array.from({ length: 5_000 }, (_, index) => `t${index}`);
  const model = modelOf(Object.fromEntries(ids.map((id) => [id, []])), [
    ...ids.slice(0, 4_000).map((taskId) => ({ taskId, status: TaskStatus.COMPLETED })),
    ...ids
      .slice(4_000, 4_020)
      .map((taskId) => ({ taskId, status: TaskStatus.RUNNING, startedAt: ago(1_000) })),
    { taskId: "t4999", status: TaskStatus.FAILED },
  ]);
  const lines = renderView(model, { ...plain, height: 10 });
  t.is(lines.length, 10);
  t.regex(lines[1] ?? "", /4,001\/5,000 tasks {2}979 pending · 20 running · 4,000 completed · 1 failed/);
  t.regex(lines[3] ?? "", /✗ t4999/);
  t.regex(lines[4] ?? "", /● t4000/);
  t.is(lines.at(-1), "  … 4,994 more tasks");
});

test("tasks that wait for the same reason share a line", (t) => {
  const ids = Array.from({ length: 12 }, (_, index) => `t${index}`);
  const model = modelOf(Object.fromEntries(ids.map((id) => [id, []])));
  model.reasons = ids.map((taskId, index) =>
    create(WaitReasonSchema, {
      taskId,
      mapIndex: -1,
      reason: "NO_FREE_SLOT",
      message: index < 5 ? "all slots are busy" : `busy ${index}`,
    }),
  );
  const lines = renderView(model, plain);
  t.true(lines.includes("  t0, t1, t2 and 2 more  NO_FREE_SLOT  all slots are busy"));
  t.is(lines.at(-1), "  … 3 more reasons");
});

test("instances of a map stand below their task", (t) => {
  const model = modelOf({ resize: [], after: ["resize"] });
  update(model, [{ taskId: "resize", mapIndex: 0, status: TaskStatus.RUNNING }]);
  update(model, [{ taskId: "resize", mapIndex: 1, status: TaskStatus.READY }]);
  t.deepEqual(
    model.rows.map((row) => row.key),
    ["resize", "resize[0]", "resize[1]", "after"],
  );
});

test("a change is another status or another attempt, told once", (t) => {
  const model = modelOf({ a: [] });
  const running = { taskId: "a", status: TaskStatus.RUNNING, attempt: 1, worker: "w1" };
  t.deepEqual(update(model, [running]).map(changeText), ["a RUNNING attempt 1/3 w1"]);
  t.deepEqual(update(model, [{ ...running, progress: { done: 1 } }]), []);
  t.deepEqual(update(model, [{ ...running, attempt: 2 }]).map(changeText), ["a RUNNING attempt 2/3 w1"]);
  const failure = { reason: "X", message: "b\u001b]0;c" };
  t.deepEqual(
    update(model, [{ taskId: "a", status: TaskStatus.FAILED, attempt: 2, failure }]).map(changeText),
    ["a FAILED attempt 2/3 b\ufffd]0;c"],
  );
  t.deepEqual([...countStatuses(model)], [[TaskStatus.FAILED, 1]]);
});

test("the order is by depth, also where tasks are declared against it", (t) => {
  const model = modelOf({ d: ["c"], b: ["a"], c: ["b", "a"], a: [] });
  t.deepEqual(
    model.rows.map(({ key, depth }) => `${key}${depth}`),
    ["a0", "b1", "c2", "d3"],
  );
});

test("drawing again goes up over what was drawn, clears the rest and gives the cursor back", (t) => {
  let written = "";
  const stream = {
    columns: 80,
    rows: 24,
    write: (text: string) => (written += text),
  } as unknown as NodeJS.WriteStream;
  const terminal = new LiveTerminal(stream);
  t.deepEqual(terminal.size, { width: 80, height: 23 });
  terminal.draw(["one", "two"]);
  written = "";
  terminal.draw(["three"]);
  t.is(written, "\r\u001b[2Athree\u001b[K\n\u001b[J");
  written = "";
  terminal.close();
  t.is(written, "\u001b[?25h");
});

test("durations and times read as people write them", (t) => {
  const durations: [number, string][] = [
    [0, "0 ms"],
    [-5, "0 ms"],
    [999, "999 ms"],
    [1_000, "1.0 s"],
    [9_990, "9.9 s"],
    [12_345, "12 s"],
    [60_000, "1 min"],
    [184_000, "3 min 4 s"],
    [7_500_000, "2 h 5 min"],
    [90_000_000, "1 d 1 h"],
  ];
  for (const [ms, label] of durations) t.is(durationLabel(ms), label);
  t.is(relativeTime(NOW_MS - 3_400, NOW_MS), "3 s ago");
  t.is(relativeTime(NOW_MS + 12_900, NOW_MS), "in 12 s");
  t.is(relativeTime(NOW_MS - 400, NOW_MS), "now");
  t.is(relativeTime(NOW_MS - 7_200_000, NOW_MS), "2 h ago");
});

test("text of others stays on its lines and cannot drive the terminal", (t) => {
  t.is(oneLine("a\r\n\tb\u0007c"), "a b\ufffdc");
  t.is(manyLines("a\n\tb\u001b[2J"), "a\n  b\ufffd[2J");
});

test("cut text ends with an ellipsis and ends its colours", (t) => {
  const { red } = createStyle(true);
  t.is(cut("abcdef", 4), "abc…");
  t.is(cut("abcd", 4), "abcd");
  t.is(cut(`${red("abcdef")}gh`, 4), "\u001b[31mabc…\u001b[39m");
  t.is(visibleWidth(cut(red("abcdef"), 3)), 3);
});

test("a table gives way in its widest column and keeps everything where there is no terminal", (t) => {
  const rows = [["1", "a".repeat(40), "end"]];
  const head = ["ID", "TEXT", "LAST"];
  t.deepEqual(tableLines(head, rows, { width: 24, style: createStyle(false) }), [
    "ID  TEXT            LAST",
    "1   aaaaaaaaaaaaa…  end",
  ]);
  const gaps = [["1", "", "end"]];
  t.deepEqual(tableLines(head, gaps, { width: 80, style: createStyle(false) }), ["ID  LAST", "1   end"]);
  const whole = tableLines(head, rows, { width: Number.POSITIVE_INFINITY, style: createStyle(false) });
  t.is(whole[1], `1   ${"a".repeat(40)}  end`);
});
