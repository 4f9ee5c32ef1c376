import type { ExecutionState, TaskState } from "./execution-state.js";
import type { Failure } from "./failure.js";
import { inputSource } from "./input-source.js";
import type { OpeningBudget } from "./opening-budget.js";
import type { Payload } from "./payload.js";
import type { InputSource } from "./resolve-input.js";

/** A task that changed, beside its values in the state. */
export interface TouchedTask {
  /** It has no row yet. */
  readonly created: boolean;
  /** The server ended the hand-out itself: its lease number must never match again. */
  revoked: boolean;
  /** Set when the task became ready for the first time. */
  input: Payload | undefined;
  output: Payload | undefined;
  finishedAtMs: number | undefined;
  /** Later than the first time that it became ready: a worker may claim it. */
  readyAgain: boolean;
}

/** A try that ended without ending its task. */
export interface SupersededAttempt {
  readonly index: number;
  readonly failure: Failure;
  readonly retryDelayMs: number | undefined;
}

/** A running attempt that must be told to stop. */
export interface StopOrder {
  readonly index: number;
  readonly reason: string;
  /** Whether its outcome still counts. */
  readonly outcomeWanted: boolean;
  readonly deadlineAtMs: number | undefined;
}

/**
 * Everything that commands change in one execution between two commits. The state holds the new
 * values, the draft says which of them are new.
 */
export interface Draft {
  readonly state: ExecutionState;
  /** What inputs are made from; one for the draft, because it keeps what was parsed. */
  readonly source: InputSource;
  readonly limits: DraftLimits;
  readonly touched: Map<number, TouchedTask>;
  /** The large inputs that tasks of this draft became ready with, once there is one. */
  largeInputs: Set<Payload> | undefined;
  readonly superseded: SupersededAttempt[];
  readonly stops: StopOrder[];
  /** Whether the row of the execution has new values besides its revision. */
  executionTouched: boolean;
}

/** What bounds the drafts of one transaction. */
export interface DraftLimits {
  readonly payloadBytesMax: number;
  /** Outputs that an execution keeps because something may still read them. */
  readonly keptOutputBytesMax: number;
  /** What is left of the transaction for making tasks ready. */
  readonly budget: OpeningBudget;
}

/** Opens a draft on a state. */
export function openDraft(state: ExecutionState, limits: DraftLimits): Draft {
  const source = inputSource(state, limits);
  return {
    state,
    source,
    limits,
    touched: new Map(),
    largeInputs: undefined,
    superseded: [],
    stops: [],
    executionTouched: false,
  };
}

/** Whether there is anything to write. */
export function hasChanges(draft: Draft): boolean {
  return draft.executionTouched || draft.touched.size > 0;
}

/** Marks a task that has a row as changed. */
export function touch(draft: Draft, index: number): TouchedTask {
  return draft.touched.get(index) ?? mark(draft, index, false);
}

/** Gives a PENDING task its first state, and so its row. */
export function createTask(draft: Draft, index: number, task: TaskState): TouchedTask {
  draft.state.tasks[index] = task;
  return mark(draft, index, true);
}

function mark(draft: Draft, index: number, created: boolean): TouchedTask {
  const touched: TouchedTask = {
    created,
    revoked: false,
    input: undefined,
    output: undefined,
    finishedAtMs: undefined,
    readyAgain: false,
  };
  draft.touched.set(index, touched);
  return touched;
}
