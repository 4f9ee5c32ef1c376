import { failureBytes, type Failure } from "./failure.js";
import type { Payload } from "./payload.js";
import type { Plan } from "./plan.js";
import { isTerminal, type ExecutionStatus, type TaskStatus } from "./status.js";

/**
 * What the core knows of a task. READY and RUNNING are one state here, READY: "attempt n is out".
 * Who has it is the business of leases and does not change what may happen next.
 */
export interface TaskState {
  status: TaskStatus;
  attempt: number;
  crashes: number;
  firstReadyAtMs: number | undefined;
  readyAtMs: number | undefined;
  /** When the core must look at the task again: its retry, its queue timeout or its total timeout. */
  dueAtMs: number | undefined;
  /** Kept only while a successor or the workflow output may still read it. */
  output: Payload | undefined;
  failure: Failure | undefined;
}

/** What never changes in an execution. */
export interface ExecutionFacts {
  readonly namespaceId: number;
  readonly executionId: string;
  readonly plan: Plan;
  readonly input: Payload;
  readonly createdAtMs: number;
  /** Added to the priority of each task. */
  readonly priority: number;
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Of the caller's trace context. */
  readonly traceFlags: number | undefined;
  readonly deadlineAtMs: number | undefined;
}

/** What the core knows of an execution: the facts, and what commands change. */
export interface ExecutionState {
  readonly facts: ExecutionFacts;
  revision: number;
  status: ExecutionStatus;
  cancelRequestedAtMs: number | undefined;
  cancelReason: string | undefined;
  /** When running tasks of a cancelled execution are ended by force. */
  cancelDueAtMs: number | undefined;
  output: Payload | undefined;
  failure: Failure | undefined;
  finishedAtMs: number | undefined;
  /** By plan index. A task that is PENDING has none. */
  readonly tasks: Array<TaskState | undefined>;
  /** By plan index: dependencies that are not terminal. */
  readonly unresolved: number[];
  /** By plan index: readers of the output that are not terminal or have not been made ready. */
  readonly unread: number[];
  /** Tasks that must still end before the execution can. */
  openCount: number;
  /** Bytes of the outputs that are kept. */
  keptBytes: number;
  /** Tasks whose dependencies have completed are left for a later transaction to make ready. */
  opensLater: boolean;
}

/** The state of an execution of which nothing has happened yet. */
export function newState(facts: ExecutionFacts): ExecutionState {
  const { tasks } = facts.plan;
  return {
    facts,
    revision: 0,
    status: "RUNNING",
    cancelRequestedAtMs: undefined,
    cancelReason: undefined,
    cancelDueAtMs: undefined,
    output: undefined,
    failure: undefined,
    finishedAtMs: undefined,
    tasks: [],
    unresolved: tasks.map((task) => task.dependsOn.length),
    unread: tasks.map((task) => task.readers.length + (task.readByOutput ? 1 : 0)),
    openCount: tasks.length,
    keptBytes: 0,
    opensLater: false,
  };
}

/** The columns of an execution that change, as they are stored. */
export type StoredExecution = Pick<
  ExecutionState,
  | "revision"
  | "status"
  | "cancelRequestedAtMs"
  | "cancelReason"
  | "cancelDueAtMs"
  | "output"
  | "failure"
  | "finishedAtMs"
>;

/** A stored task, by its plan index. RUNNING is stored by leases and read as READY. */
export interface StoredTask extends TaskState {
  readonly index: number;
  /** Whether it has an output, which only a small one brings along. */
  readonly hasOutput: boolean;
}

/**
 * Brings a state up to date with rows that changed since its revision; with `newState` and all rows
 * it restores an execution. Only rows whose revision is higher than the state's may be given.
 */
export function refreshState(
  state: ExecutionState,
  execution: StoredExecution,
  rows: readonly StoredTask[],
): void {
  for (const row of rows) refreshTask(state, row);
  state.revision = execution.revision;
  state.status = execution.status;
  state.cancelRequestedAtMs = execution.cancelRequestedAtMs;
  state.cancelReason = execution.cancelReason;
  state.cancelDueAtMs = execution.cancelDueAtMs;
  state.output = execution.output;
  state.failure = execution.failure;
  state.finishedAtMs = execution.finishedAtMs;
  if (state.cancelRequestedAtMs !== undefined) state.openCount = countOpenRows(state);
  state.opensLater = tasksToOpen(state).length > 0;
}

/** The plan indexes of tasks whose outputs the rows left out, and that something may still read. */
export function outputsToRead(state: ExecutionState, rows: readonly StoredTask[]): number[] {
  if (isTerminal(state.status)) return [];
  return rows
    .filter(({ index, hasOutput, output }) => hasOutput && output === undefined && isUnread(state, index))
    .map(({ index }) => index);
}

/** Whether something may still read the output of a task. */
export function isUnread(state: ExecutionState, index: number): boolean {
  return (state.unread[index] ?? 0) > 0;
}

/** The plan indexes of tasks that wait for nothing and have no row. A cancelled execution opens none. */
export function tasksToOpen(state: ExecutionState): number[] {
  if (isTerminal(state.status) || state.cancelRequestedAtMs !== undefined) return [];
  const found: number[] = [];
  state.unresolved.forEach((left, index) => {
    if (left === 0 && state.tasks[index] === undefined) found.push(index);
  });
  return found;
}

function refreshTask(state: ExecutionState, row: StoredTask): void {
  const { index, status, attempt, crashes, firstReadyAtMs, readyAtMs, dueAtMs, failure } = row;
  const previous = state.tasks[index];
  if (previous?.output !== undefined) state.keptBytes -= previous.output.data.length;
  const next: TaskState = {
    status: status === "RUNNING" ? "READY" : status,
    ...{ attempt, crashes, firstReadyAtMs, readyAtMs, dueAtMs, failure },
    output: undefined,
  };
  state.tasks[index] = next;
  if (previous === undefined) markRead(state, index);
  if (!isTerminal(next.status)) return;
  keepOutput(state, index, row.output);
  if (previous !== undefined && isTerminal(previous.status)) return;
  state.openCount--;
  for (const successor of planTask(state, index).successors) bump(state.unresolved, successor, -1);
}

/** Remembers the output of a task for as long as something may read it. */
export function keepOutput(state: ExecutionState, index: number, output: Payload | undefined): void {
  const task = state.tasks[index];
  if (task === undefined || output === undefined || !isUnread(state, index)) return;
  task.output = output;
  state.keptBytes += output.data.length;
}

/** Notes that a task left PENDING, so that it never reads the outputs of others again. */
export function markRead(state: ExecutionState, index: number): void {
  for (const source of planTask(state, index).reads) {
    bump(state.unread, source, -1);
    if (isUnread(state, source)) continue;
    const task = state.tasks[source];
    if (task?.output === undefined) continue;
    state.keptBytes -= task.output.data.length;
    task.output = undefined;
  }
}

/** A task that the state refers to; an index that the plan lacks is a defect. */
export function planTask(state: ExecutionState, index: number): Plan["tasks"][number] {
  const task = state.facts.plan.tasks[index];
  if (task === undefined)
    throw new RangeError(`The plan of ${state.facts.plan.workflow} has no task ${index}`);
  return task;
}

function countOpenRows(state: ExecutionState): number {
  let open = 0;
  for (const task of state.tasks) if (task !== undefined && !isTerminal(task.status)) open++;
  return open;
}

function bump(counts: number[], index: number, by: number): void {
  counts[index] = (counts[index] ?? 0) + by;
}

/** An estimate of the memory that a state takes, for the state cache. */
export function stateSizeBytes(state: ExecutionState): number {
  const { facts, tasks, keptBytes } = state;
  let bytes = 600 + facts.input.data.length + keptBytes + facts.plan.tasks.length * 32 + tasks.length * 120;
  for (const task of tasks) if (task?.failure !== undefined) bytes += failureBytes(task.failure);
  return bytes;
}
