import type { ExecutionContext } from "ava";
import type { Failure } from "../../server/core/failure.js";
import { jsonPayload } from "../../server/core/payload.js";
import { newWrites } from "../../server/engine/build-writes.js";
import { CommitError, type ExecutionRow, type LockedRows } from "../../server/engine/commit-store.js";
import { uuidv7 } from "../../server/engine/ids.js";
import { LOWEST_PRIORITY } from "../../server/engine/route-line.js";
import { openStores, type Stores } from "../../server/store/open-stores.js";
import type { TestDatabase } from "../support/database.js";
import { useProxy } from "../support/database-proxy.js";
import {
  commit,
  EVERY_BYTE,
  executionRow,
  NO_LOCKS,
  rounded,
  runningRow,
  sessionRow,
  T0,
  taskRow,
} from "../support/stored-rows.js";
import { rowsOf } from "../support/test-engine.js";
import { until } from "../support/until.js";

/** The stores of one test, on a database of its own. */
export interface StoreFixture {
  readonly stores: Stores;
  readonly database: TestDatabase;
}

type Check = (t: ExecutionContext, fixture: StoreFixture) => Promise<void>;

/** More than the inputs of any claim here. */
const BYTES = 1_000_000;

const FAILURE: Failure = {
  reason: "HANDLER_FAILED",
  message: 'no\u0000 – "€" 𝄞 \\x',
  errorType: "E",
  nonRetryable: true,
  retryAfterMs: 7,
  stackTrace: "at x\nat y",
  details: EVERY_BYTE,
  taskId: "a",
  cause: { reason: "CAUSE", message: "", cause: { reason: "ROOT", message: "r" } },
};

/** Payload bytes as plain Buffers, so that they compare by their content. */
function plain<T>(value: T): T {
  if (value instanceof Uint8Array) return Buffer.from(value) as unknown as T;
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).flatMap(([name, field]) =>
    field === undefined ? [] : [[name, plain(field)]],
  );
  return Object.fromEntries(entries) as T;
}

async function verdictOf(t: ExecutionContext, call: Promise<unknown>): Promise<string> {
  const error = await t.throwsAsync(call, { instanceOf: CommitError });
  return error.verdict;
}

async function killLane({ database }: StoreFixture, lane = 0): Promise<void> {
  const killed = await rowsOf(
    database,
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = current_database() and application_name = $1`,
    [`${database.config.applicationName} lane ${lane}`],
  );
  if (killed.length !== 1) throw new Error(`${killed.length} lanes were killed`);
}

const commits: Record<string, Check> = {
  "an execution is stored as it was written, bytes, text and all": async (t, { stores }) => {
    const row = executionRow({
      parentSpanId: Buffer.from("00ff00ff00ff00ff", "hex"),
      traceFlags: 1,
      tracestate: "a=1",
      priority: -100,
      deadlineAtMs: T0 + 60_000,
      dueAtMs: T0 + 60_000,
      input: EVERY_BYTE,
      labels: { "k/ü": "€ \"'\\ {}", empty: "" },
      idempotencyKey: "ключ 'quoted' {,}",
    });
    await commit(stores.commits, {}, () => ({ executionInserts: [row, executionRow()] }));
    t.like(plain(rounded(await stores.executions.getExecution(1, row.executionId))), {
      executionId: row.executionId,
      status: "RUNNING",
      revision: 1,
      input: EVERY_BYTE,
      labels: row.labels,
      idempotencyKey: row.idempotencyKey,
      traceId: row.traceId,
      createdAtMs: T0,
      startedAtMs: T0,
      deadlineAtMs: T0 + 60_000,
    });
    let read: ExecutionRow | undefined;
    await commit(stores.commits, { executions: [row] }, async (rows, reader) => {
      read = await reader.readExecution(row);
      const changed = {
        revision: 2,
        status: "FAILED",
        finishedAtMs: T0 + 9,
        failure: FAILURE,
        output: EVERY_BYTE,
      } as const;
      const cancelled = {
        cancelRequestedAtMs: T0 + 5,
        cancelDueAtMs: T0 + 8,
        cancelReason: "why ü",
        dueAtMs: undefined,
      };
      return { executionUpdates: [{ location: rows.executions[0]!.location, ...changed, ...cancelled }] };
    });
    t.like(plain(rounded(read)), {
      revision: 1,
      priority: -100,
      traceFlags: 1,
      input: EVERY_BYTE,
      createdAtMs: T0,
    });
    const after = plain(rounded(await stores.executions.getExecution(1, row.executionId)));
    t.like(after, {
      revision: 2,
      status: "FAILED",
      finishedAtMs: T0 + 9,
      cancelRequestedAtMs: T0 + 5,
      cancelReason: "why ü",
    });
    t.deepEqual(after!.failure, plain(FAILURE));
    t.deepEqual(after!.output, plain(EVERY_BYTE));
    t.is(await stores.executions.getExecution(2, row.executionId), undefined, "no other namespace sees it");
  },

  "a task is stored, completed, changed and superseded as it was written": async (t, { stores }) => {
    const execution = executionRow();
    const { executionId } = execution;
    const session = sessionRow();
    await stores.leases.openSession(session);
    const key = (taskId: string) => ({ namespaceId: 1, executionId, taskId, mapIndex: -1 });
    await commit(stores.commits, {}, () => ({
      executionInserts: [execution],
      taskInserts: [
        runningRow(executionId, session.sessionId, {
          taskId: "a",
          input: EVERY_BYTE,
          attemptTimeoutMs: 2 ** 40,
        }),
        runningRow(executionId, session.sessionId, {
          taskId: "b",
          heartbeatTimeoutMs: 5,
          totalDueAtMs: T0 + 99,
        }),
        taskRow(executionId, {
          taskId: "c",
          status: "SKIPPED",
          attempt: 0,
          readyAtMs: undefined,
          finishedAtMs: T0,
          input: undefined,
        }),
        taskRow(executionId, {
          taskId: "d",
          status: "FAILED",
          finishedAtMs: T0 + 1,
          failure: FAILURE,
          input: undefined,
        }),
      ],
    }));
    t.like(plain(rounded(await stores.executions.getTask(key("a")))), {
      status: "RUNNING",
      input: EVERY_BYTE,
      worker: "wörker",
      sessionId: session.sessionId,
      lease: 1,
      startedAtMs: T0 + 5,
      firstReadyAtMs: T0,
    });
    const held = rounded(await stores.leases.readHeldTasks([session.sessionId]));
    t.like(
      held.find(({ taskId }) => taskId === "a"),
      { attemptTimeoutMs: 2 ** 40, replicaId: session.replicaId },
    );
    t.like(
      held.find(({ taskId }) => taskId === "b"),
      { heartbeatTimeoutMs: 5, totalDueAtMs: T0 + 99 },
    );
    await commit(
      stores.commits,
      { executions: [execution], tasks: [key("a"), key("b")] },
      ({ executions, tasks }) => ({
        executionTouches: [{ location: executions[0]!.location, revision: 2 }],
        taskCompletions: [
          { location: tasks[0]!.location, revision: 2, finishedAtMs: T0 + 20, output: EVERY_BYTE },
        ],
        attemptInserts: [
          { location: tasks[1]!.location, finishedAtMs: T0 + 20, retryDelayMs: 30, failure: FAILURE },
        ],
        taskUpdates: [
          {
            location: tasks[1]!.location,
            status: "SCHEDULED",
            revision: 2,
            attempt: 2,
            crashes: 1,
            leaseStep: 1,
            readyAtMs: T0,
            finishedAtMs: undefined,
            dueAtMs: T0 + 50,
            failure: FAILURE,
            heartbeat: EVERY_BYTE,
          },
        ],
      }),
    );
    const views = plain(
      rounded(await Promise.all(["a", "b", "c", "d"].map((id) => stores.executions.getTask(key(id))))),
    );
    t.like(views[0], { status: "COMPLETED", finishedAtMs: T0 + 20, output: plain(EVERY_BYTE), lease: 1 });
    t.like(views[1], {
      status: "SCHEDULED",
      attempt: 2,
      crashes: 1,
      lease: 2,
      dueAtMs: T0 + 50,
      failure: plain(FAILURE),
    });
    t.like(views[2], { status: "SKIPPED", attempt: 0, finishedAtMs: T0 });
    t.like(views[3], { status: "FAILED", failure: plain(FAILURE) });
    t.deepEqual(plain(rounded(await stores.executions.listAttempts(key("b")))), [
      {
        attempt: 1,
        lease: 1,
        worker: "wörker",
        readyAtMs: T0,
        startedAtMs: T0 + 5,
        finishedAtMs: T0 + 20,
        failure: plain(FAILURE),
        retryDelayMs: 30,
      },
    ]);
    t.deepEqual(await stores.executions.countTasks(1, executionId), {
      COMPLETED: 1,
      SCHEDULED: 1,
      SKIPPED: 1,
      FAILED: 1,
    });
    const since = await stores.executions.listTasksSince(1, executionId, 1);
    t.deepEqual(since.map(({ taskId }) => taskId).sort(), ["a", "b"]);
    t.is((await stores.executions.listTasks(1, executionId)).length, 4);
    await commit(stores.commits, { executions: [execution] }, async (_rows, reader) => {
      const rows = plain(rounded(await reader.readTasksSince(execution, 1)));
      t.like(
        rows.find(({ taskId }) => taskId === "a"),
        { status: "COMPLETED", output: plain(EVERY_BYTE) },
      );
      t.like(
        rows.find(({ taskId }) => taskId === "b"),
        { status: "SCHEDULED", dueAtMs: T0 + 50, crashes: 1 },
      );
      t.is((await reader.readTasksSince(execution, 0)).length, 4);
      t.deepEqual(plain(await reader.readOutputs(execution, ["none", "a", "b"])), [
        undefined,
        plain(EVERY_BYTE),
        undefined,
      ]);
      return {};
    });
  },

  "large outputs are read only when they are asked for": async (t, { stores }) => {
    const execution = executionRow();
    const outputs = [1_024, 1_025].map((bytes) => ({ data: Buffer.alloc(bytes, "7"), encoding: "json" }));
    const tasks = ["small", "large"].map((taskId) => taskRow(execution.executionId, { taskId }));
    await commit(stores.commits, {}, () => ({ executionInserts: [execution], taskInserts: tasks }));
    await commit(stores.commits, { executions: [execution], tasks }, (locked) => ({
      taskCompletions: locked.tasks.map((task, n) => {
        const { location } = task!;
        return { location, revision: 2, finishedAtMs: T0, output: outputs[n] };
      }),
    }));
    await commit(stores.commits, { executions: [execution] }, async (_rows, reader) => {
      const rows = await reader.readTasksSince(execution, 0);
      const sizes = rows.map(({ taskId, hasOutput, output }) => [taskId, hasOutput, output?.data.length]);
      t.deepEqual(sizes.sort(), [
        ["large", true, undefined],
        ["small", true, 1_024],
      ]);
      t.deepEqual(plain(await reader.readOutputs(execution, ["large"])), plain([outputs[1]]));
      return {};
    });
  },

  "the heartbeat of an earlier attempt stays until another comes": async (t, { stores, database }) => {
    const execution = executionRow();
    const task = taskRow(execution.executionId);
    await commit(stores.commits, {}, () => ({ executionInserts: [execution], taskInserts: [task] }));
    const beats = [EVERY_BYTE, undefined, jsonPayload(2)];
    const seen: unknown[] = [];
    for (const heartbeat of beats) {
      await commit(stores.commits, { executions: [execution], tasks: [task] }, ({ tasks }) => ({
        taskUpdates: [
          {
            location: tasks[0]!.location,
            status: "READY",
            revision: 1,
            attempt: 1,
            crashes: 0,
            leaseStep: 0,
            readyAtMs: T0,
            finishedAtMs: undefined,
            dueAtMs: undefined,
            failure: undefined,
            heartbeat,
          },
        ],
      }));
      seen.push(
        ...(await rowsOf(database, "select heartbeat as data, heartbeat_encoding as encoding from tasks")),
      );
    }
    t.deepEqual(plain(seen), [
      plain(EVERY_BYTE),
      plain(EVERY_BYTE),
      { data: Buffer.from("2"), encoding: null },
    ] as unknown[]);
  },

  "rows are locked in the order asked for, and what is missing is undefined": async (t, { stores }) => {
    const [first, second] = [executionRow(), executionRow()];
    const session = sessionRow();
    await commit(stores.commits, {}, () => ({
      executionInserts: [first, second],
      taskInserts: [
        taskRow(first.executionId, { taskId: "x" }),
        runningRow(second.executionId, session.sessionId, { taskId: "y", attempt: 2, lease: 7 }),
        taskRow(second.executionId, { taskId: "z", status: "COMPLETED", finishedAtMs: T0 }),
      ],
    }));
    const missing = { namespaceId: 1, executionId: uuidv7() };
    const foreign = { namespaceId: 2, executionId: first.executionId };
    const task = (key: { executionId: string }, taskId: string) => ({
      namespaceId: 1,
      executionId: key.executionId,
      taskId,
      mapIndex: -1,
    });
    let locked: LockedRows | undefined;
    await commit(
      stores.commits,
      {
        executions: [missing, first, foreign, second],
        tasks: [
          task(first, "none"),
          task(first, "x"),
          task(missing, "x"),
          task(second, "y"),
          task(second, "z"),
        ],
        openTasksOf: [second, missing, first],
      },
      (rows) => {
        locked = rows;
        return {};
      },
    );
    t.deepEqual(
      [0, 1, 2, 3].map((n) => locked!.executions[n]?.revision),
      [undefined, 1, undefined, 1],
    );
    t.deepEqual(
      [0, 1, 2, 3, 4].map((n) => locked!.tasks[n]?.status),
      [undefined, "READY", undefined, "RUNNING", "COMPLETED"],
    );
    t.like(locked!.tasks[3], { attempt: 2, lease: 7, sessionId: session.sessionId });
    t.deepEqual(
      locked!.openTasks.map((tasks) => tasks.map(({ taskId }) => taskId)),
      [["y"], [], ["x"]],
    );
    t.deepEqual(locked!.starts, []);
  },

  "a lock is held until the commit, and a claim passes it by": async (t, { stores, database }) => {
    const execution = executionRow();
    const task = taskRow(execution.executionId);
    await commit(stores.commits, {}, () => ({ executionInserts: [execution], taskInserts: [task] }));
    const route = { namespaceId: 1, queue: "q", handler: "h" };
    const claim = {
      ...route,
      maxTasks: 5,
      sessionId: uuidv7(),
      priorityMin: LOWEST_PRIORITY,
      overdraws: true,
    };
    const order: string[] = [];
    let second: Promise<void> = Promise.resolve();
    await commit(stores.commits, { executions: [execution], tasks: [task] }, async () => {
      t.deepEqual(await stores.leases.claimTasks([claim], BYTES), []);
      second = stores.commits.transact(1, { ...NO_LOCKS, executions: [execution] }, () => {
        order.push("second");
        return newWrites();
      });
      const waiting =
        "select from pg_stat_activity where application_name like '% lane 1' and wait_event_type = 'Lock'";
      await until("the other lane waits", async () => (await rowsOf(database, waiting)).length > 0);
      order.push("first");
      return {};
    });
    await second;
    t.deepEqual(order, ["first", "second"]);
    t.is((await stores.leases.claimTasks([claim], BYTES)).length, 1);
  },

  "starts are found by id and by key, in their namespace only": async (t, { stores }) => {
    const [byId, byKey] = [executionRow({ input: EVERY_BYTE }), executionRow({ idempotencyKey: "k" })];
    const foreign = executionRow({ namespaceId: 2, idempotencyKey: "k" });
    await commit(stores.commits, {}, () => ({ executionInserts: [byId, byKey, foreign] }));
    let found: LockedRows["starts"] = [];
    const ask = (executionId: string, idempotencyKey?: string) => ({
      namespaceId: 1,
      executionId,
      idempotencyKey,
    });
    const starts = [
      ask(uuidv7()),
      ask(byId.executionId, "none"),
      ask(uuidv7(), "k"),
      ask(byId.executionId, "k"),
      ask(byKey.executionId, "k"),
    ];
    await commit(stores.commits, { starts }, (rows) => {
      found = rows.starts;
      return {};
    });
    t.deepEqual(
      found.map((each) => each.map(({ executionId }) => executionId).sort()),
      [
        [],
        [byId.executionId],
        [byKey.executionId],
        [byId.executionId, byKey.executionId].sort(),
        [byKey.executionId],
      ],
    );
    t.like(plain(found[1]![0]), {
      workflow: "w",
      version: byId.version,
      traceId: byId.traceId,
      input: plain(EVERY_BYTE),
    });
  },

  "an equal id or key in its namespace is a conflict, and nothing of that commit stays": async (
    t,
    { stores, database },
  ) => {
    const first = executionRow({ idempotencyKey: "k" });
    await commit(stores.commits, {}, () => ({ executionInserts: [first] }));
    for (const again of [
      executionRow({ executionId: first.executionId }),
      executionRow({ idempotencyKey: "k" }),
    ]) {
      const call = commit(stores.commits, {}, () => ({ executionInserts: [executionRow(), again] }));
      t.is(await verdictOf(t, call), "conflict");
    }
    await commit(stores.commits, {}, () => ({ executionInserts: [{ ...first, namespaceId: 2 }] }));
    t.is((await rowsOf(database, "select from executions")).length, 2);
  },

  "a connection that is killed before COMMIT is to be tried again, and the lane goes on": async (
    t,
    fixture,
  ) => {
    const { stores, database } = fixture;
    const call = commit(stores.commits, { executions: [executionRow()] }, async () => {
      await killLane(fixture);
      throw new Error("connection is lost");
    });
    await t.throwsAsync(call, { instanceOf: CommitError });
    const row = executionRow();
    const reading = commit(stores.commits, { executions: [row] }, async (_rows, reader) => {
      await killLane(fixture);
      await reader.readTasksSince(row, 0);
      return { executionInserts: [row] };
    });
    t.is(await verdictOf(t, reading), "retry");
    await commit(stores.commits, {}, () => ({ executionInserts: [row] }));
    t.is((await rowsOf(database, "select from executions")).length, 1);
  },

  "a statement that PostgreSQL gives up is to be tried again": async (t, { stores, database }) => {
    const row = executionRow();
    await commit(stores.commits, {}, () => ({ executionInserts: [row] }));
    await database.pool.withClient(async (query) => {
      await query({ text: "begin" });
      await query({ text: "select from executions for update" });
      const call = verdictOf(
        t,
        commit(stores.commits, { executions: [row] }, () => ({})),
      );
      const cancel = `select pg_cancel_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = $1 and wait_event_type = 'Lock'`;
      const lane = [`${database.config.applicationName} lane 0`];
      await until(
        "the lane waits for the lock",
        async () => (await rowsOf(database, cancel, lane)).length > 0,
      );
      t.is(await call, "retry");
      await query({ text: "rollback" });
    });
  },

  "a connection that is cut after COMMIT was sent leaves the outcome unknown": async (t, { database }) => {
    for (const happens of [true, false]) {
      let armed = false;
      // PostgreSQL aborts what is open when it notices that nobody listens, so an answer is only cut off
      // once it says that the commit is done.
      const config = await useProxy(t, database.config, {
        toServer: (chunk) => (armed && !happens && chunk.includes("commit") ? undefined : chunk),
        toClient: (chunk) => (armed && chunk.includes("COMMIT") ? undefined : chunk),
      });
      const stores = openStores(config, { lanes: 1, notify: false, log: () => undefined });
      t.teardown(() => stores.close());
      await commit(stores.commits, {}, () => ({ executionInserts: [executionRow({ workflow: "before" })] }));
      armed = true;
      const call = commit(stores.commits, {}, () => ({
        executionInserts: [executionRow({ workflow: `happens ${happens}` })],
      }));
      t.is(await verdictOf(t, call), "unknown");
      armed = false;
      await commit(stores.commits, {}, () => ({ executionInserts: [executionRow({ workflow: "after" })] }));
    }
    const rows = await rowsOf(database, "select workflow from executions where workflow like 'happens%'");
    t.deepEqual(rows, [{ workflow: "happens true" }]);
  },

  "a value that cannot be sent leaves nothing of its batch, and the statement works on": async (
    t,
    { stores, database },
  ) => {
    const execution = executionRow();
    const queue = { n: 1n } as unknown as string;
    const unsendable = commit(stores.commits, {}, () => ({
      executionInserts: [execution],
      taskInserts: [taskRow(execution.executionId, { queue })],
    }));
    t.is(await verdictOf(t, unsendable), "refused");
    t.deepEqual(await rowsOf(database, "select from executions"), []);
    const tasks = [taskRow(execution.executionId)];
    await commit(stores.commits, {}, () => ({ executionInserts: [execution], taskInserts: tasks }));
    t.is((await rowsOf(database, "select from tasks")).length, 1);
  },

  "what can never be committed is refused, and the lane goes on": async (t, { stores, database }) => {
    const wrong = [
      executionRow({ revision: 0 }),
      executionRow({ labels: { k: "\u0000" } }),
      executionRow({ status: "COMPLETED" }),
      executionRow({ idempotencyKey: "x".repeat(201) }),
    ];
    for (const row of wrong) {
      t.is(
        await verdictOf(
          t,
          commit(stores.commits, {}, () => ({ executionInserts: [row] })),
        ),
        "refused",
      );
    }
    const thrown = commit(stores.commits, {}, () => Promise.reject(new Error("decided otherwise")));
    const error = await t.throwsAsync(thrown, { instanceOf: CommitError });
    t.is(error.verdict, "refused");
    t.is((error.cause as Error).message, "decided otherwise");
    await commit(stores.commits, {}, () => ({ executionInserts: [executionRow()] }));
    t.is((await rowsOf(database, "select from executions")).length, 1);
  },

  "a large batch of every kind is one commit": async (t, { stores, database }) => {
    const executions = Array.from({ length: 1_000 }, () => executionRow());
    const keys = [...executions].sort((a, b) => (a.executionId < b.executionId ? -1 : 1));
    await commit(stores.commits, {}, () => ({
      executionInserts: executions,
      taskInserts: executions.map(({ executionId }) => taskRow(executionId)),
    }));
    const tasks = keys.map(({ executionId }) => ({ namespaceId: 1, executionId, taskId: "a", mapIndex: -1 }));
    await commit(stores.commits, { executions: keys, tasks }, (rows) => ({
      executionTouches: rows.executions.map((row) => ({ location: row!.location, revision: 2 })),
      taskCompletions: rows.tasks.map((row, n) => ({
        location: row!.location,
        revision: 2,
        finishedAtMs: T0 + n,
        output: jsonPayload(keys[n]!.executionId),
      })),
    }));
    const [wrong] = await rowsOf<{ done: number; wrong: number }>(
      database,
      `select count(*) filter (where t.status = 'COMPLETED' and e.revision = 2) as done,
        count(*) filter (where convert_from(t.output, 'utf8') <> to_json(execution_id)::text) as wrong
       from tasks t join executions e using (namespace_id, execution_id)`,
    );
    t.deepEqual(wrong, { done: 1_000, wrong: 0 });
  },
};

export const CONTRACT: Readonly<Record<string, Check>> = commits;
