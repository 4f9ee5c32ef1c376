import type { ExecutionContext } from "ava";
import { jsonPayload } from "../../server/core/payload.js";
import type { ExecutionListQuery } from "../../server/engine/execution-store.js";
import type { ExecutionInsert, TaskInsert } from "../../server/engine/commit-store.js";
import { uuidv7 } from "../../server/engine/ids.js";
import type { ClaimRequest } from "../../server/engine/lease-store.js";
import { LOWEST_PRIORITY } from "../../server/engine/route-line.js";
import { openStores, type Stores } from "../../server/store/open-stores.js";
import {
  commit,
  EVERY_BYTE,
  executionRow,
  rounded,
  runningRow,
  sessionRow,
  T0,
  taskRow,
} from "../support/stored-rows.js";
import { rowsOf } from "../support/test-engine.js";
import type { StoreFixture } from "./store-contract.js";

type Check = (t: ExecutionContext, fixture: StoreFixture) => Promise<void>;

/** More than the inputs of any claim here. */
const BYTES = 1_000_000;

/** One execution for each task, all in one commit. */
async function store({ commits }: Stores, tasks: Array<Partial<TaskInsert>>): Promise<void> {
  const executions = tasks.map((task) =>
    executionRow({
      namespaceId: task.namespaceId ?? 1,
      ...(task.executionId === undefined ? {} : { executionId: task.executionId }),
    }),
  );
  const taskInserts = tasks.map((task, n) => taskRow(executions[n]!.executionId, task));
  await commit(commits, {}, () => ({ executionInserts: executions, taskInserts }));
}

function claim(more: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    namespaceId: 1,
    queue: "q",
    handler: "h",
    maxTasks: 10,
    sessionId: uuidv7(),
    priorityMin: LOWEST_PRIORITY,
    overdraws: true,
    ...more,
  };
}

const LIST: Omit<ExecutionListQuery, "afterExecutionId" | "limit"> = {
  workflow: "",
  versions: undefined,
  statuses: [],
  labels: {},
  createdAfterMs: undefined,
  createdBeforeMs: undefined,
};

export const LEASE_CONTRACT: Readonly<Record<string, Check>> = {
  "claims come by priority, then by age, and carry all that a worker needs": async (
    t,
    { stores, database },
  ) => {
    await store(stores, [
      { taskId: "late", readyAtMs: T0 + 2 },
      {
        taskId: "early",
        readyAtMs: T0 + 1,
        dueAtMs: T0 + 9,
        totalDueAtMs: T0 + 99,
        attemptTimeoutMs: 5,
        heartbeatTimeoutMs: 6,
      },
      { taskId: "urgent", readyAtMs: T0 + 3, priority: 1 },
      { taskId: "later", readyAtMs: T0 + 4 },
      { taskId: "other queue", queue: "p" },
      { taskId: "other handler", handler: "k" },
      { taskId: "other namespace", namespaceId: 2 },
      { taskId: "done", status: "COMPLETED", finishedAtMs: T0 },
    ]);
    const sessionId = uuidv7();
    const claimed = await stores.leases.claimTasks([claim({ maxTasks: 3, sessionId })], BYTES);
    t.deepEqual(
      claimed.map(({ taskId }) => taskId),
      ["urgent", "early", "late"],
    );
    t.like(rounded(claimed[1]), {
      ordinal: 1,
      attempt: 1,
      lease: 1,
      crashes: 0,
      sessionId,
      workflow: "w",
      maxAttempts: 3,
      totalDueAtMs: T0 + 99,
      attemptTimeoutMs: 5,
      heartbeatTimeoutMs: 6,
      heartbeat: undefined,
    });
    t.is(Buffer.from(claimed[1]!.input.data).toString(), "null");
    t.deepEqual(
      await rowsOf(
        database,
        "select status, lease, due_at is null as cleared, session_id from tasks where task_id = 'early'",
      ),
      [{ status: "RUNNING", lease: 1, cleared: true, session_id: sessionId }],
    );
    t.deepEqual(
      (await stores.leases.claimTasks([claim()], BYTES)).map(({ taskId }) => taskId),
      ["later"],
    );
    t.deepEqual(await stores.leases.claimTasks([claim()], BYTES), []);
  },

  "one statement serves several requests, also of one route, and no task twice": async (t, { stores }) => {
    await store(
      stores,
      Array.from({ length: 25 }, (_, n) => ({ taskId: `t${n}`, readyAtMs: T0 + n })),
    );
    await store(stores, [{ taskId: "k", handler: "k" }]);
    const requests = [claim(), claim({ handler: "none" }), claim(), claim({ handler: "k" }), claim()];
    const claimed = await stores.leases.claimTasks(requests, BYTES);
    const byOrdinal = [1, 2, 3, 4, 5].map((ordinal) => claimed.filter((task) => task.ordinal === ordinal));
    t.deepEqual(
      byOrdinal.map((tasks) => tasks.length),
      [10, 0, 10, 1, 5],
    );
    t.is(new Set(claimed.map(({ taskId }) => taskId)).size, 26);
    for (const task of claimed) t.is(task.sessionId, requests[task.ordinal - 1]!.sessionId);
  },

  "a request gets no more than the bytes of a claim, and then one input more": async (t, { stores }) => {
    const input = { data: Buffer.from("111"), encoding: "json" };
    await store(
      stores,
      Array.from({ length: 6 }, (_, n) => ({ taskId: `t${n}`, readyAtMs: T0 + n, input })),
    );
    const taken = async (bytesMax: number): Promise<string[]> => {
      const claimed = await stores.leases.claimTasks([claim({ maxTasks: 2 }), claim()], bytesMax);
      return claimed.map(({ taskId, ordinal }) => `${taskId} ${ordinal}`);
    };
    t.deepEqual(await taken(1), ["t0 1", "t1 2"]);
    t.deepEqual(await taken(4), ["t2 1", "t3 1", "t4 2", "t5 2"]);
    t.deepEqual(await taken(4), []);
  },

  "a request that may not overdraw gets only what fits": async (t, { stores }) => {
    const input = { data: Buffer.from("111"), encoding: "json" };
    await store(
      stores,
      Array.from({ length: 5 }, (_, n) => ({ taskId: `t${n}`, readyAtMs: T0 + n, input })),
    );
    const taken = async (bytesMax: number): Promise<string[]> => {
      const requests = [claim({ maxTasks: 2 }), claim({ overdraws: false })];
      const claimed = await stores.leases.claimTasks(requests, bytesMax);
      return claimed.map(({ taskId, ordinal }) => `${taskId} ${ordinal}`);
    };
    t.deepEqual(await taken(2), ["t0 1"]);
    t.deepEqual(await taken(5), ["t1 1", "t2 1", "t3 2"]);
  },

  "an input that tasks share comes with each of them": async (t, { stores }) => {
    const execution = executionRow();
    const key = { namespaceId: 1, executionId: execution.executionId };
    const other = executionRow();
    const inputs = [
      { data: EVERY_BYTE.data, encoding: "bytes" },
      { data: Buffer.from("7"), encoding: "json" },
    ];
    await commit(stores.commits, {}, () => ({
      executionInserts: [execution, other],
      taskInserts: [
        taskRow(key.executionId, { taskId: "a", input: inputs[0], sharedInputId: 4 }),
        taskRow(key.executionId, { taskId: "b", input: inputs[0], sharedInputId: 4, readyAtMs: T0 + 1 }),
        taskRow(key.executionId, { taskId: "c", input: inputs[1], sharedInputId: 2, readyAtMs: T0 + 2 }),
        taskRow(other.executionId, { taskId: "d", readyAtMs: T0 + 3 }),
      ],
      sharedInputs: [
        { ...key, inputId: 4, input: inputs[0]! },
        { ...key, inputId: 2, input: inputs[1]! },
      ],
    }));
    const claimed = await stores.leases.claimTasks([claim()], BYTES);
    t.deepEqual(
      claimed.map(({ taskId, input }) => [taskId, Buffer.from(input.data).toString("hex"), input.encoding]),
      [
        ...["a", "b"].map((taskId) => [taskId, Buffer.from(EVERY_BYTE.data).toString("hex"), "bytes"]),
        ["c", "37", "json"],
        ["d", Buffer.from("null").toString("hex"), "json"],
      ],
    );
    const stored = await stores.executions.getTask({ ...key, taskId: "b", mapIndex: -1 });
    t.deepEqual(Buffer.from(stored!.input!.data), EVERY_BYTE.data);
    t.is(stored!.input!.encoding, "bytes");
  },

  "two replicas that claim at once share the tasks": async (t, { stores, database }) => {
    const others = openStores(
      { ...database.config, poolMax: 2 },
      { lanes: 1, notify: false, log: () => undefined },
    );
    t.teardown(() => others.close());
    await store(
      stores,
      Array.from({ length: 400 }, (_, n) => ({ taskId: `t${n}` })),
    );
    const seen: string[] = [];
    const drain = async ({ leases }: Stores): Promise<void> => {
      for (let empty = 0; empty < 2;) {
        const claimed = await leases.claimTasks([claim({ maxTasks: 7 })], BYTES);
        seen.push(...claimed.map(({ taskId }) => taskId));
        if (claimed.length === 0) empty++;
      }
    };
    await Promise.all([drain(stores), drain(others)]);
    t.is(seen.length, 400);
    t.is(new Set(seen).size, 400);
  },

  "suspects stand in a line of their own": async (t, { stores, database }) => {
    await store(stores, [{ taskId: "fine" }, { taskId: "suspect" }]);
    await rowsOf(database, "update tasks set crashes = 2 where task_id = 'suspect'");
    t.deepEqual(
      (await stores.leases.claimTasks([claim()], BYTES)).map(({ taskId }) => taskId),
      ["fine"],
    );
    const suspects = await stores.leases.claimSuspects([claim()], BYTES);
    t.like(suspects, [{ taskId: "suspect", crashes: 2, lease: 1 }]);
    t.is(suspects.length, 1);
  },

  "what waits is found by route, with its highest priority, and a claim leaves what is below its own": async (
    t,
    { stores, database },
  ) => {
    await store(stores, [
      { taskId: "low", readyAtMs: T0, priority: -7 },
      { taskId: "high", readyAtMs: T0 + 1, priority: 7 },
      { taskId: "k", handler: "k", priority: 1 },
      { taskId: "suspect", handler: "k" },
      { taskId: "s", handler: "s", priority: 2 },
      { taskId: "other queue", queue: "p" },
      { taskId: "other namespace", namespaceId: 2, handler: "h2" },
      { taskId: "done", handler: "l", status: "COMPLETED", finishedAtMs: T0 },
    ]);
    await rowsOf(database, "update tasks set crashes = 1 where task_id in ('suspect', 's')");
    const route = { namespaceId: 1, queue: "q" };
    const found = async (...handlers: ReadonlyArray<readonly [string, string]>): Promise<unknown[]> => {
      const ranges = handlers.map(([firstHandler, lastHandler]) => ({ ...route, firstHandler, lastHandler }));
      return (await stores.leases.findBacklog(ranges)).map((each) => Object.values(each).join(" ")).sort();
    };
    const [h, k] = ["1 q h 7 false", "1 q k 1 false"];
    const suspects = ["1 q k 0 true", "1 q s 2 true"];
    t.deepEqual(await found(["", "~"]), [h, suspects[0], k, suspects[1]]);
    t.deepEqual(await found(["h", "h"], ["l", "l"], ["s", "s"]), [h, suspects[1]]);
    t.deepEqual(await found(["i", "r"]), [suspects[0], k]);
    t.deepEqual(await found(["a", "g"]), []);
    t.deepEqual(await stores.leases.claimTasks([claim({ priorityMin: 8 })], BYTES), []);
    t.like(await stores.leases.claimTasks([claim({ priorityMin: 7 })], BYTES), [
      { taskId: "high", priority: 7 },
    ]);
    t.deepEqual(await found(["h", "h"]), ["1 q h -7 false"]);
  },

  "a session opens, moves, drains and closes, for its replica only": async (t, { stores, database }) => {
    const [one, two] = [uuidv7(), uuidv7()];
    const row = sessionRow({ replicaId: one });
    const { sessionId } = row;
    const { leases } = stores;
    await leases.openSession(row);
    const listed = async (): Promise<unknown[]> => [
      ...(await leases.listSessions(1, "00000000-0000-0000-0000-000000000000", 10)),
    ];
    const { workerName, sdkName, sdkVersion, buildId, handlers, queues, labels, slots } = row;
    const shown = { workerName, sdkName, sdkVersion, buildId, handlers, queues, labels, slots };
    t.like((await listed())[0], { sessionId, replicaId: one, ...shown, draining: false, held: 0 });
    t.false(await leases.closeSession(1, sessionId, two), "it is not theirs");
    await leases.setSessionDraining(1, sessionId, two);
    t.like((await listed())[0], { draining: false });
    await leases.setSessionDraining(1, sessionId, one);
    t.like((await listed())[0], { draining: true });
    t.true(await leases.resumeSession({ ...row, replicaId: two, slots: 9, handlers: ["z"], labels: {} }));
    t.like((await listed())[0], { draining: false, replicaId: two, slots: 9, handlers: ["z"], labels: {} });
    t.is(await leases.adoptSession(1, sessionId, one), undefined, "it does not poll");
    t.false(await leases.resumeSession({ ...row, namespaceId: 2 }));
    t.false(await leases.closeSession(1, sessionId, one));
    t.true(await leases.closeSession(1, sessionId, two));
    t.false(await leases.closeSession(1, sessionId, two));
    t.false(await leases.resumeSession(row));
    t.deepEqual(await listed(), []);

    const polling = sessionRow({ replicaId: one, pollTimeoutMs: 30_000 });
    await leases.openSession(polling);
    t.false(await leases.resumeSession(polling));
    t.deepEqual(await leases.adoptSession(1, polling.sessionId, one), { ...polling, moved: false });
    t.deepEqual(await leases.adoptSession(1, polling.sessionId, two), {
      ...polling,
      replicaId: two,
      moved: true,
    });
    t.is(await leases.adoptSession(2, polling.sessionId, two), undefined);
    await store(stores, [runningRow("", polling.sessionId, { executionId: uuidv7() }), { taskId: "free" }]);
    t.like((await listed())[0], { held: 1 });
    t.like(await leases.readHeldTasks([uuidv7(), polling.sessionId]), [
      { taskId: "a", lease: 1, replicaId: two },
    ]);
    await rowsOf(database, "update sessions set closed_at = clock_timestamp()");
    t.is(await leases.adoptSession(1, polling.sessionId, one), undefined);
  },

  "sessions are listed page by page": async (t, { stores: { leases } }) => {
    const rows = Array.from({ length: 5 }, () => sessionRow()).sort((a, b) =>
      a.sessionId < b.sessionId ? -1 : 1,
    );
    for (const row of rows) await leases.openSession(row);
    await leases.openSession(sessionRow({ namespaceId: 2 }));
    const first = await leases.listSessions(1, "00000000-0000-0000-0000-000000000000", 3);
    const rest = await leases.listSessions(1, first.at(-1)!.sessionId, 3);
    t.deepEqual(
      [...first, ...rest].map(({ sessionId }) => sessionId),
      rows.map(({ sessionId }) => sessionId),
    );
  },

  "a replica that does not renew loses its sessions after the lease, and its row": async (
    t,
    { stores: { leases }, database },
  ) => {
    const [dead, alive, self] = [uuidv7(), uuidv7(), uuidv7()];
    for (const replicaId of [dead, alive, self])
      await leases.registerReplica({ replicaId, address: "x", version: "1" });
    const answer = await leases.renewReplica(self);
    t.is(answer?.replicas, 3);
    t.true(Math.abs(answer!.nowMs - Date.now()) < 60_000);
    const sessions = [dead, dead, alive, self].map((replicaId) => sessionRow({ replicaId }));
    for (const session of sessions) await leases.openSession(session);
    await rowsOf(
      database,
      "update replicas set renewed_at = clock_timestamp() - interval '5 s' where replica_id in ($1, $2)",
      [dead, self],
    );
    t.is(await leases.closeDeadSessions(self, answer!.nowMs - 10_000), 0, "its lease is not over");
    t.is(await leases.closeDeadSessions(self, answer!.nowMs - 1_000), 2);
    t.is(await leases.closeDeadSessions(self, answer!.nowMs - 1_000), 0);
    const open = await leases.listSessions(1, "00000000-0000-0000-0000-000000000000", 10);
    t.deepEqual(open.map(({ replicaId }) => replicaId).sort(), [alive, self].sort());
    t.is(await leases.renewReplica(dead), undefined, "it is told that it was declared dead");
    t.is((await leases.renewReplica(self))?.replicas, 2);
    await leases.leaveReplica(alive);
    t.is((await leases.renewReplica(self))?.replicas, 1);
  },

  "sessions of replicas without a row are forgotten, unless they have only just connected": async (
    t,
    { stores: { leases }, database },
  ) => {
    const here = uuidv7();
    await leases.registerReplica({ replicaId: here, address: "x", version: "1" });
    const [known, old, fresh] = [sessionRow({ replicaId: here }), sessionRow(), sessionRow()];
    for (const session of [known, old, fresh]) await leases.openSession(session);
    await rowsOf(
      database,
      "update sessions set connected_at = clock_timestamp() - interval '5 s' where session_id in ($1, $2)",
      [known.sessionId, old.sessionId],
    );
    t.is(await leases.closeForgottenSessions(Date.now() - 60_000), 0);
    t.is(await leases.closeForgottenSessions(Date.now() - 1_000), 1);
    t.is(await leases.closeForgottenSessions(Date.now() - 1_000), 0);
    const open = await leases.listSessions(1, "00000000-0000-0000-0000-000000000000", 10);
    t.deepEqual(open.map(({ sessionId }) => sessionId).sort(), [known.sessionId, fresh.sessionId].sort());
  },

  "a replica finds the open sessions that are its own for long and that it does not serve": async (
    t,
    { stores: { leases }, database },
  ) => {
    const [here, there] = [uuidv7(), uuidv7()];
    const lost = sessionRow({ replicaId: here });
    const polling = sessionRow({ replicaId: here, pollTimeoutMs: 30_000 });
    const moved = sessionRow({ replicaId: there, pollTimeoutMs: 30_000 });
    const served = sessionRow({ replicaId: here });
    const foreign = sessionRow({ replicaId: there });
    const closed = sessionRow({ replicaId: here });
    for (const session of [lost, polling, moved, served, foreign, closed]) await leases.openSession(session);
    await leases.closeSession(1, closed.sessionId, here);
    const find = async (leaseMs: number): Promise<string[]> => {
      const found = await leases.readUnservedSessions(here, [served.sessionId], {
        leaseMs,
        nowMs: Date.now(),
      });
      return found.map(({ sessionId }) => sessionId).sort();
    };
    const pass = (time: string): Promise<unknown> =>
      rowsOf(database, `update sessions set connected_at = clock_timestamp() - interval '${time}'`);
    t.deepEqual(await find(10_000), [], "they have only just begun");
    await pass("20 s");
    t.deepEqual(await find(10_000), [lost.sessionId]);
    await pass("40 s");
    await leases.adoptSession(1, moved.sessionId, here);
    t.deepEqual(await find(10_000), [lost.sessionId, polling.sessionId].sort(), "one has only just moved");
    await leases.adoptSession(1, polling.sessionId, here);
    t.deepEqual(await find(10_000), [lost.sessionId, polling.sessionId].sort());
    t.deepEqual(await find(60_000), []);
    await leases.resumeSession({ ...lost, replicaId: here });
    t.deepEqual(await find(10_000), [polling.sessionId]);
    t.like(await leases.readUnservedSessions(there, [], { leaseMs: 10_000, nowMs: Date.now() }), [
      { namespaceId: 1, sessionId: foreign.sessionId },
    ]);
  },

  "tasks of closed sessions are orphans, and no others": async (t, { stores, database }) => {
    const { leases } = stores;
    const [open, closed, gone] = [sessionRow(), sessionRow(), sessionRow()];
    for (const session of [open, closed]) await leases.openSession(session);
    await store(stores, [
      runningRow("", open.sessionId, { executionId: uuidv7(), taskId: "open" }),
      runningRow("", closed.sessionId, { executionId: uuidv7(), taskId: "closed", lease: 4, attempt: 2 }),
      runningRow("", gone.sessionId, { executionId: uuidv7(), taskId: "gone" }),
      { taskId: "ready" },
    ]);
    await leases.closeSession(1, closed.sessionId, closed.replicaId);
    await rowsOf(database, "update tasks set crashes = 1 where task_id = 'closed'");
    const orphans = [...(await leases.readOrphans(10))].sort((a, b) => (a.taskId < b.taskId ? -1 : 1));
    t.deepEqual(
      orphans.map(({ taskId }) => taskId),
      ["closed", "gone"],
    );
    t.like(orphans[0], { lease: 4, attempt: 2, sessionId: closed.sessionId, crashes: 1 });
    t.is((await leases.readOrphans(1)).length, 1);
  },

  "times that have come are found, earliest first, and the next one is known": async (t, { stores }) => {
    const { leases, commits } = stores;
    t.is((await leases.nextDue()).dueAtMs, undefined);
    const later = Date.now() + 3_600_000;
    await store(stores, [
      { taskId: "second", dueAtMs: T0 + 2 },
      { taskId: "first", status: "SCHEDULED", dueAtMs: T0 + 1 },
      { taskId: "later", dueAtMs: later },
      { taskId: "never" },
    ]);
    t.deepEqual(
      (await leases.dueTasks(10)).map(({ taskId }) => taskId),
      ["first", "second"],
    );
    t.is((await leases.dueTasks(1)).length, 1);
    t.is(Math.round((await leases.nextDue()).dueAtMs!), T0 + 1);
    const due = executionRow({ deadlineAtMs: T0, dueAtMs: T0 });
    await commit(commits, {}, () => ({ executionInserts: [due, executionRow({ dueAtMs: later })] }));
    const found = await leases.dueExecutions(10);
    t.deepEqual(
      found.map(({ executionId }) => executionId),
      [due.executionId],
    );
    t.true(found[0]!.nowMs > T0);
    t.is(Math.round((await leases.nextDue()).dueAtMs!), T0);
    await commit(commits, { executions: [due] }, ({ executions }) => ({
      executionUpdates: [
        {
          location: executions[0]!.location,
          revision: 2,
          status: "RUNNING",
          finishedAtMs: undefined,
          cancelRequestedAtMs: T0,
          cancelDueAtMs: later,
          cancelReason: "r",
          dueAtMs: later,
          output: undefined,
          failure: undefined,
        },
      ],
    }));
    t.deepEqual(rounded(await leases.cancellingExecutions(10)), [
      { namespaceId: 1, executionId: due.executionId, reason: "r", dueAtMs: later },
    ]);
  },

  "executions are listed by every filter, newest first, page by page": async (
    t,
    { stores: { commits, executions } },
  ) => {
    const rows = Array.from({ length: 12 }, (_, n) => {
      const done = n % 3 === 0;
      return executionRow({
        executionId: uuidv7(T0 + n * 1_000),
        createdAtMs: T0 + n * 1_000,
        workflow: n % 2 === 0 ? "even" : "odd",
        version: `00000000-0000-4000-8000-00000000000${n % 4}`,
        labels: { n: String(n), third: String(done), quote: "'\"" },
        status: done ? "COMPLETED" : n % 3 === 1 ? "RUNNING" : "FAILED",
        finishedAtMs: n % 3 === 1 ? undefined : T0 + 60_000,
        failure: n % 3 === 2 ? { reason: "R", message: "m" } : undefined,
        output: done ? jsonPayload(n) : undefined,
      });
    });
    await commit(commits, {}, () => ({ executionInserts: [...rows, executionRow({ namespaceId: 2 })] }));
    const listed = async (query: Partial<ExecutionListQuery>, pages = 5): Promise<number[]> => {
      const ids: string[] = [];
      for (let after: string | undefined; ;) {
        const page = await executions.listExecutions(1, {
          ...LIST,
          ...query,
          afterExecutionId: after,
          limit: pages,
        });
        ids.push(...page.map(({ executionId }) => executionId));
        after = page.at(-1)?.executionId;
        if (page.length < pages) break;
      }
      return ids.map((id) => rows.findIndex(({ executionId }) => executionId === id));
    };
    const where = (accept: (row: ExecutionInsert, n: number) => boolean): number[] =>
      rows.flatMap((row, n) => (accept(row, n) ? [n] : [])).reverse();
    t.deepEqual(
      await listed({}),
      where(() => true),
    );
    t.deepEqual(
      await listed({}, 1),
      where(() => true),
    );
    t.deepEqual(
      await listed({ workflow: "odd" }),
      where((row) => row.workflow === "odd"),
    );
    t.deepEqual(
      await listed({ versions: { lowest: rows[1]!.version, highest: rows[1]!.version } }),
      where((row) => row.version === rows[1]!.version),
    );
    t.deepEqual(
      await listed({ statuses: ["RUNNING"] }),
      where((row) => row.status === "RUNNING"),
    );
    t.deepEqual(
      await listed({ statuses: ["COMPLETED", "FAILED"] }),
      where((row) => row.status !== "RUNNING"),
    );
    t.deepEqual(
      await listed({ labels: { third: "true", quote: "'\"" } }),
      where((_row, n) => n % 3 === 0),
    );
    t.deepEqual(await listed({ labels: { n: "none" } }), []);
    t.deepEqual(await listed({ createdAfterMs: T0 + 4_000, createdBeforeMs: T0 + 8_000 }), [7, 6, 5, 4]);
    t.deepEqual(
      await listed({
        workflow: "even",
        statuses: ["COMPLETED"],
        labels: { third: "true" },
        createdAfterMs: T0 + 1,
      }),
      where((row, n) => row.workflow === "even" && n % 3 === 0 && n > 0),
    );
    const [view] = await executions.listExecutions(1, { ...LIST, afterExecutionId: undefined, limit: 1 });
    t.is(view?.output, undefined, "lists leave payloads out");
  },

  "of many executions those that have ended are found, each in its namespace": async (
    t,
    { stores: { commits, executions } },
  ) => {
    const open = executionRow();
    const done = executionRow({ status: "COMPLETED", finishedAtMs: T0, output: jsonPayload(1) });
    const failed = executionRow({
      status: "FAILED",
      finishedAtMs: T0,
      failure: { reason: "R", message: "m" },
    });
    const foreign = { ...open, namespaceId: 2, status: "COMPLETED", finishedAtMs: T0 } as const;
    await commit(commits, {}, () => ({ executionInserts: [open, done, failed, foreign] }));
    const ended = await executions.findEnded([open, done, failed, executionRow()]);
    t.deepEqual(
      ended.map(({ executionId }) => executionId).sort(),
      [done.executionId, failed.executionId].sort(),
    );
    t.like(
      ended.find(({ executionId }) => executionId === failed.executionId),
      { failure: { reason: "R" } },
    );
    t.like(await executions.findEnded([foreign]), [{ namespaceId: 2, executionId: open.executionId }]);
    t.deepEqual(await executions.findEnded([]), []);
  },
};
