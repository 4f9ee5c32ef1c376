import { HeadraceError } from "../core/errors.js";
import { hasChanges, type DraftLimits } from "../core/draft.js";
import { OpeningBudget } from "../core/opening-budget.js";
import {
  keepOutput,
  newState,
  outputsToRead,
  planTask,
  refreshState,
  type ExecutionState,
} from "../core/execution-state.js";
import { apply, needsState } from "./apply-commands.js";
import { buildWrites, newWrites, type Aftermath } from "./build-writes.js";
import type { Clock } from "./clock.js";
import {
  CommitError,
  type CommitStore,
  type ExecutionRow,
  type LockedRows,
  type StateReader,
  type Writes,
} from "./commit-store.js";
import type { Effects } from "./effects.js";
import { openGroup, type Group } from "./group.js";
import type { HandOff } from "./hand-off.js";
import { distributeRows, findRepeated, formBatch, type Batch } from "./lane-batch.js";
import type { Log } from "./log.js";
import type { Plans } from "./plans.js";
import type { EngineCommand, StartCommand } from "./request.js";
import { answerRepeat, answerRepeatInBatch, createExecution } from "./start-execution.js";
import { restoreFacts, storedTasks } from "./restore-state.js";
import type { StateCache } from "./state-cache.js";

/** What lanes share. */
export interface LaneContext {
  readonly store: CommitStore;
  readonly plans: Plans;
  readonly states: StateCache;
  readonly handOff: HandOff;
  readonly effects: Effects;
  readonly clock: Clock;
  readonly log: Log;
  readonly payloadBytesMax: number;
  readonly keptOutputBytesMax: number;
}

/** What one transaction may spend on making tasks ready: a write of some MB, and tens of milliseconds. */
const OPENING_BYTES = 16 * 1024 * 1024;
const OPENING_STEPS = 1_000_000;
/** Payloads that one transaction reads to restore states, and those of one more execution. */
const READ_BYTES = 16 * 1024 * 1024;

/** One attempt to commit a batch, from its locks to what must happen after the commit. */
export class LaneTransaction {
  readonly #context: LaneContext;
  readonly #batch: Batch;
  readonly #aftermath: Aftermath = { handedOff: [], readyRoutes: [], dueAtMs: undefined };
  /** Starts of this batch by idempotency key, so that two with one key become one. */
  readonly #keys = new Map<string, StartCommand>();
  readonly #limits: DraftLimits;
  /** Of executions that are brought back only for tasks that had no room before. */
  readonly #laterLimits: DraftLimits;
  /** Of payloads, to restore states. */
  #bytesRead = 0;
  /** Commands for which this transaction had no room. Nothing was done about them. */
  readonly deferred: EngineCommand[] = [];

  constructor(context: LaneContext, commands: readonly EngineCommand[], lookUpStarts: boolean) {
    this.#context = context;
    this.#batch = formBatch(commands, lookUpStarts);
    const { payloadBytesMax, keptOutputBytesMax } = context;
    const { groups } = this.#batch;
    const due = groups.filter(isOnlyDue).length;
    const limitsFor = (executions: number): DraftLimits => {
      const budget = new OpeningBudget(OPENING_BYTES, OPENING_STEPS, executions);
      return { payloadBytesMax, keptOutputBytesMax, budget };
    };
    this.#limits = limitsFor(groups.length - due);
    this.#laterLimits = limitsFor(due);
  }

  /** Commits, then answers. Rejects with CommitError when nothing was, or may have been, committed. */
  async run(lane: number): Promise<void> {
    try {
      await this.#context.store.transact(lane, this.#batch.locks, (rows, reader) =>
        this.#decide(rows, reader),
      );
    } catch (error) {
      this.#undo();
      throw error;
    }
    this.#finish();
  }

  async #decide(rows: LockedRows, reader: StateReader): Promise<Writes> {
    distributeRows(this.#batch, rows);
    const startsFound = new Map(
      this.#batch.startGroups.map((group, position) => [group, rows.starts[position] ?? []]),
    );
    const writes = newWrites();
    const nowMs = this.#context.clock.nowMs();
    for (const group of this.#batch.groups) {
      const { budget } = this.#limitsOf(group);
      if (budget.isExhausted || this.#bytesRead > READ_BYTES) {
        this.deferred.push(...group.commands);
        continue;
      }
      budget.nextExecution();
      this.#start(group, startsFound.get(group) ?? []);
      if (group.draft === undefined && group.locked !== undefined && needsState(group))
        await this.#open(group, reader);
      for (const command of group.commands) apply(group, command, nowMs);
      this.#write(group, writes, nowMs);
    }
    return writes;
  }

  /** Wide graphs that go on opening and everything else take nothing from each other. */
  #limitsOf(group: Group): DraftLimits {
    return isOnlyDue(group) ? this.#laterLimits : this.#limits;
  }

  /** The first start of a group creates the execution unless it exists; the others repeat it. */
  #start(group: Group, found: Parameters<typeof findRepeated>[1]): void {
    for (const command of group.commands) {
      if (command.kind !== "start") continue;
      const existing = findRepeated(command, found);
      const sameKey = command.idempotencyKey === undefined ? undefined : this.#keys.get(this.#keyOf(command));
      if (existing !== undefined) answerRepeat(group, command, existing);
      else if (sameKey !== undefined) answerRepeatInBatch(group, command, sameKey);
      else if (group.draft === undefined) this.#create(group, command);
      else if (group.start !== undefined) answerRepeatInBatch(group, command, group.start);
    }
  }

  #create(group: Group, command: StartCommand): void {
    // Its id is taken, which the insert would tell if the row had not been locked for another command.
    if (group.locked !== undefined) throw new CommitError("conflict", new Error("The execution exists"));
    if (command.idempotencyKey !== undefined) this.#keys.set(this.#keyOf(command), command);
    group.start = command;
    createExecution(group, command, this.#limits);
  }

  #keyOf(command: StartCommand): string {
    return `${command.facts.namespaceId}/${command.idempotencyKey ?? ""}`;
  }

  /** Brings the cached state of an execution up to the locked revision, or restores it. */
  async #open(group: Group, reader: StateReader): Promise<void> {
    const { states } = this.#context;
    const revision = group.locked?.revision ?? 0;
    let state = states.get(group.executionId);
    if (state === undefined || state.revision > revision || state.facts.namespaceId !== group.namespaceId) {
      const row = await reader.readExecution(group);
      const plan = await this.#context.plans.getPlan(group.namespaceId, row.workflow, row.version);
      state = newState(restoreFacts(group, row, plan));
      await this.#refresh(state, row, reader);
    } else if (state.revision < revision) {
      await this.#refresh(state, await reader.readExecution(group), reader);
    }
    openGroup(group, state, this.#limitsOf(group));
  }

  /** Outputs are read in a second step, because most of those that are stored nobody reads any more. */
  async #refresh(state: ExecutionState, row: ExecutionRow, reader: StateReader): Promise<void> {
    const { plan } = state.facts;
    const tasks = storedTasks(plan, await reader.readTasksSince(state.facts, state.revision));
    refreshState(state, row, tasks);
    this.#bytesRead += row.input.data.length;
    const missing = outputsToRead(state, tasks);
    if (missing.length === 0) return;
    const ids = missing.map((index) => planTask(state, index).id);
    const outputs = await reader.readOutputs(state.facts, ids);
    missing.forEach((index, position) => {
      const output = outputs[position];
      keepOutput(state, index, output);
      this.#bytesRead += output?.data.length ?? 0;
    });
  }

  #write(group: Group, writes: Writes, nowMs: number): void {
    const { draft } = group;
    if (draft === undefined || !hasChanges(draft)) return;
    const { handOff } = this.#context;
    buildWrites(group, draft, { writes, aftermath: this.#aftermath, handOff, nowMs });
  }

  /** The commit did not happen, or nobody knows: nothing that it would have caused may be seen. */
  #undo(): void {
    for (const { reservation } of this.#aftermath.handedOff) reservation.release();
    for (const group of this.#batch.groups) this.#context.states.drop(group.executionId);
  }

  #finish(): void {
    for (const group of this.#batch.groups) {
      for (const answer of group.answers) answer();
      if (group.draft !== undefined) this.#context.states.keep(group.draft.state);
    }
    this.#context.effects.committed(this.#batch.groups, this.#aftermath);
  }
}

function isOnlyDue({ commands }: Group): boolean {
  return commands.every(({ kind }) => kind === "executionDue");
}

/** Answers every command with the same error. */
export function rejectAll(commands: readonly EngineCommand[], error: Error): void {
  for (const command of commands) command.reply.reject(error);
}

/** The error that callers see when their command can never be committed as it is. */
export function refusal(error: unknown): Error {
  const cause = error instanceof CommitError ? error.cause : error;
  return cause instanceof HeadraceError
    ? cause
    : new HeadraceError("INTERNAL", "The command could not be committed.", { cause });
}
