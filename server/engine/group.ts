import type { Command } from "../core/command.js";
import { advance } from "../core/advance.js";
import { openDraft, type Draft, type DraftLimits } from "../core/draft.js";
import type { ExecutionState } from "../core/execution-state.js";
import { checkFence, type FenceVerdict } from "../core/fence.js";
import { isTerminal } from "../core/status.js";
import type { AttemptRef } from "./api.js";
import type { LockedExecution, LockedTask } from "./commit-store.js";
import type { EngineCommand, StartCommand } from "./request.js";

/** The commands of one batch for one execution, and what becomes of them. */
export interface Group {
  readonly namespaceId: number;
  readonly executionId: string;
  readonly commands: EngineCommand[];
  /** The start among them, if this batch creates the execution. */
  start: StartCommand | undefined;
  locked: LockedExecution | undefined;
  /** Locked task rows by task id. Only tasks without map index are known yet. */
  readonly handOuts: Map<string, LockedTask>;
  draft: Draft | undefined;
  /** Runs after the commit: answers and everything else that must not be seen before. */
  readonly answers: Array<() => void>;
}

/** A group without commands. */
export function newGroup(namespaceId: number, executionId: string): Group {
  return {
    namespaceId,
    executionId,
    commands: [],
    start: undefined,
    locked: undefined,
    handOuts: new Map(),
    draft: undefined,
    answers: [],
  };
}

/** Opens the draft of a group on its state. */
export function openGroup(group: Group, state: ExecutionState, limits: DraftLimits): Draft {
  group.draft = openDraft(state, limits);
  return group.draft;
}

/**
 * Whether a hand-out is current, counting what earlier commands of the same batch did to it, which
 * the locked row does not show yet.
 */
export function fenceOf(group: Group, ref: AttemptRef, sessionId: string | undefined): FenceVerdict {
  const row = group.handOuts.get(ref.taskId);
  return checkFence(row === undefined ? undefined : handOutNow(group, ref.taskId, row), {
    attempt: ref.attempt,
    lease: ref.lease,
    sessionId,
  });
}

function handOutNow(group: Group, taskId: string, row: LockedTask): LockedTask {
  const { draft } = group;
  const index = draft?.state.facts.plan.indexOf.get(taskId);
  if (draft === undefined || index === undefined) return row;
  const touched = draft.touched.get(index);
  if (touched === undefined) return row;
  const status = draft.state.tasks[index]?.status ?? row.status;
  return { ...row, status, lease: row.lease + (touched.revoked ? 1 : 0) };
}

/** Applies a command of the core; false when the execution has ended before. */
export function applyCommand(group: Group, command: Command, nowMs: number): boolean {
  const { draft } = group;
  if (draft === undefined || isTerminal(draft.state.status)) return false;
  advance(draft, command, nowMs);
  return true;
}

/** The plan indexes of the tasks that a worker has, of the locked rows. */
export function runningTasks(group: Group): ReadonlySet<number> {
  const running = new Set<number>();
  for (const [taskId, row] of group.handOuts) {
    const index = group.draft?.state.facts.plan.indexOf.get(taskId);
    if (index === undefined || row.status !== "RUNNING") continue;
    // An earlier command of the batch took it from its worker, and it waits for another.
    if (group.draft?.touched.get(index)?.readyAgain === true) continue;
    if (group.draft?.state.tasks[index]?.status === "READY") running.add(index);
  }
  return running;
}
