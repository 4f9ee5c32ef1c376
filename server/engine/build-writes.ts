import type { Draft, TouchedTask } from "../core/draft.js";
import { planTask, type ExecutionState, type TaskState } from "../core/execution-state.js";
import { taskPriority, type PlanTask } from "../core/plan.js";
import { isTerminal } from "../core/status.js";
import type { RowLocation, TaskUpdate, Writes } from "./commit-store.js";
import type { Group } from "./group.js";
import type { HandOff, Reservation, Route } from "./hand-off.js";
import type { StartCommand } from "./request.js";
import { shareInputs, type SharedInputs } from "./share-inputs.js";

/** A task that goes straight to a worker with the commit that made it ready. */
export interface HandedOff {
  readonly reservation: Reservation;
  readonly state: ExecutionState;
  readonly index: number;
  readonly input: TouchedTask["input"];
  readonly startedAtMs: number;
}

/** What a commit leaves to do beside its rows. */
export interface Aftermath {
  readonly handedOff: HandedOff[];
  readonly readyRoutes: Array<{ readonly route: Route; readonly suspect: boolean }>;
  /** The earliest time at which something written is due. */
  dueAtMs: number | undefined;
}

/** Nothing to write yet. */
export function newWrites(): Writes {
  return {
    executionInserts: [],
    executionUpdates: [],
    executionTouches: [],
    taskInserts: [],
    sharedInputs: [],
    taskCompletions: [],
    taskUpdates: [],
    attemptInserts: [],
  };
}

/** Turns the draft of a group into rows, and hands new tasks to workers that are free. */
export function buildWrites(
  group: Group,
  draft: Draft,
  {
    writes,
    aftermath,
    handOff,
    nowMs,
  }: { writes: Writes; aftermath: Aftermath; handOff: HandOff; nowMs: number },
): void {
  draft.state.revision++;
  writeExecution(group, draft, { writes, aftermath, nowMs });
  for (const { index, failure, retryDelayMs } of draft.superseded) {
    writes.attemptInserts.push({
      location: locate(group, draft, index),
      finishedAtMs: nowMs,
      retryDelayMs,
      failure,
    });
  }
  const shared = shareInputs(draft);
  const { namespaceId, executionId } = group;
  for (const [input, inputId] of shared)
    writes.sharedInputs.push({ namespaceId, executionId, inputId, input });
  for (const [index, touched] of draft.touched) {
    const task = draft.state.tasks[index];
    if (task === undefined) continue;
    if (touched.created)
      insertTask(draft, { index, task, touched }, { writes, shared, aftermath, handOff, nowMs });
    else updateTask(group, draft, { index, task, touched }, writes, aftermath);
  }
}

function writeExecution(
  group: Group,
  draft: Draft,
  { writes, aftermath, nowMs }: { writes: Writes; aftermath: Aftermath; nowMs: number },
): void {
  const { state } = draft;
  const dueAtMs = isTerminal(state.status) ? undefined : executionDueAt(state, nowMs);
  noteDue(aftermath, dueAtMs);
  if (group.locked === undefined) {
    if (group.start !== undefined) writes.executionInserts.push(executionInsert(state, group.start, dueAtMs));
    return;
  }
  const { location } = group.locked;
  if (!draft.executionTouched) {
    writes.executionTouches.push({ location, revision: state.revision });
    return;
  }
  const {
    revision,
    status,
    finishedAtMs,
    cancelRequestedAtMs,
    cancelDueAtMs,
    cancelReason,
    output,
    failure,
  } = state;
  const changed = {
    revision,
    status,
    finishedAtMs,
    cancelRequestedAtMs,
    cancelDueAtMs,
    cancelReason,
    output,
    failure,
  };
  writes.executionUpdates.push({ location, dueAtMs, ...changed });
}

function executionInsert(
  state: ExecutionState,
  start: StartCommand,
  dueAtMs: number | undefined,
): Writes["executionInserts"][number] {
  const { namespaceId, executionId, plan, priority, traceId, traceFlags, createdAtMs, deadlineAtMs, input } =
    state.facts;
  const { parentSpanId, tracestate, labels, idempotencyKey } = start;
  const { revision, status, finishedAtMs, output, failure } = state;
  return {
    namespaceId,
    executionId,
    workflow: plan.workflow,
    version: plan.version,
    revision,
    status,
    priority,
    traceId,
    parentSpanId,
    traceFlags,
    tracestate,
    createdAtMs,
    finishedAtMs,
    deadlineAtMs,
    dueAtMs,
    input,
    output,
    failure,
    labels,
    idempotencyKey,
  };
}

/** What a later transaction must make ready is due at once, for whichever replica is there. */
function executionDueAt(state: ExecutionState, nowMs: number): number | undefined {
  if (state.opensLater) return nowMs;
  const dueAtMs = Math.min(state.facts.deadlineAtMs ?? Infinity, state.cancelDueAtMs ?? Infinity);
  return dueAtMs === Infinity ? undefined : dueAtMs;
}

interface ChangedTask {
  readonly index: number;
  readonly task: TaskState;
  readonly touched: TouchedTask;
}

function insertTask(
  draft: Draft,
  { index, task, touched }: ChangedTask,
  {
    writes,
    shared,
    aftermath,
    handOff,
    nowMs,
  }: {
    writes: Writes;
    shared: SharedInputs;
    aftermath: Aftermath;
    handOff: HandOff;
    nowMs: number;
  },
): void {
  const { namespaceId, executionId } = draft.state.facts;
  const plan = planTask(draft.state, index);
  const route = { namespaceId, queue: plan.queue, handler: plan.handler };
  const reservation =
    task.status === "READY" ? handOff.reserve(route, touched.input?.data.length ?? 0) : undefined;
  if (reservation !== undefined) {
    aftermath.handedOff.push({
      reservation,
      state: draft.state,
      index,
      input: touched.input,
      startedAtMs: nowMs,
    });
  } else if (task.status === "READY") {
    aftermath.readyRoutes.push({ route, suspect: false });
    noteDue(aftermath, task.dueAtMs);
  }
  const handedOff = reservation !== undefined;
  writes.taskInserts.push({
    namespaceId,
    executionId,
    taskId: plan.id,
    mapIndex: -1,
    revision: draft.state.revision,
    status: handedOff ? "RUNNING" : task.status,
    attempt: task.attempt,
    maxAttempts: plan.retry.maxAttempts,
    lease: handedOff ? 1 : 0,
    sessionId: reservation?.sessionId,
    priority: taskPriority(plan, draft.state.facts),
    readyAtMs: task.readyAtMs,
    startedAtMs: handedOff ? nowMs : undefined,
    finishedAtMs: touched.finishedAtMs,
    dueAtMs: handedOff ? undefined : task.dueAtMs,
    totalDueAtMs: totalDueAt(plan, task),
    attemptTimeoutMs: plan.timeouts.attemptMs,
    heartbeatTimeoutMs: plan.timeouts.heartbeatMs,
    queue: plan.queue,
    handler: plan.handler,
    input: touched.input,
    sharedInputId: touched.input && shared.get(touched.input),
    failure: task.failure,
  });
}

function updateTask(
  group: Group,
  draft: Draft,
  { index, task, touched }: ChangedTask,
  writes: Writes,
  aftermath: Aftermath,
): void {
  const location = locate(group, draft, index);
  const { revision, facts } = draft.state;
  if (task.status === "COMPLETED" && touched.finishedAtMs !== undefined) {
    writes.taskCompletions.push({
      location,
      revision,
      finishedAtMs: touched.finishedAtMs,
      output: touched.output,
    });
    return;
  }
  const plan = planTask(draft.state, index);
  const update: TaskUpdate = {
    location,
    status: task.status,
    revision,
    attempt: task.attempt,
    crashes: task.crashes,
    leaseStep: touched.revoked ? 1 : 0,
    readyAtMs: task.readyAtMs,
    finishedAtMs: touched.finishedAtMs,
    dueAtMs: task.dueAtMs,
    failure: task.failure,
    heartbeat: heartbeatOf(group, plan.id),
  };
  writes.taskUpdates.push(update);
  noteDue(aftermath, task.dueAtMs);
  if (task.status !== "READY") return;
  const route = { namespaceId: facts.namespaceId, queue: plan.queue, handler: plan.handler };
  aftermath.readyRoutes.push({ route, suspect: task.crashes > 0 });
}

/** What the attempt that just ended said in its last beat. */
function heartbeatOf(group: Group, taskId: string): TaskUpdate["heartbeat"] {
  for (const command of group.commands) {
    if (command.kind !== "report" && command.kind !== "lose") continue;
    if (command.ref.taskId === taskId && command.heartbeat !== undefined) return command.heartbeat;
  }
  return undefined;
}

function locate(group: Group, draft: Draft, index: number): RowLocation {
  const { id } = planTask(draft.state, index);
  const row = group.handOuts.get(id);
  if (row === undefined) throw new RangeError(`Task ${id} changed although its row is not locked`);
  return row.location;
}

/** When the total timeout of a task ends, if it has one. */
export function totalDueAt(plan: PlanTask, task: TaskState): number | undefined {
  const { totalMs } = plan.timeouts;
  return totalMs === undefined || task.firstReadyAtMs === undefined
    ? undefined
    : task.firstReadyAtMs + totalMs;
}

function noteDue(aftermath: Aftermath, dueAtMs: number | undefined): void {
  if (dueAtMs === undefined) return;
  aftermath.dueAtMs = Math.min(aftermath.dueAtMs ?? Infinity, dueAtMs);
}
