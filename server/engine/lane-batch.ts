import type { ExecutionKey, FoundStart, LockedRows, LockRequest, TaskKey } from "./commit-store.js";
import { newGroup, type Group } from "./group.js";
import { executionIdOf, namespaceIdOf, type EngineCommand, type StartCommand } from "./request.js";

/** What one lane commits at once. */
export interface Batch {
  readonly groups: Group[];
  readonly locks: LockRequest;
  /** By position in `locks.tasks`, the group that asked. */
  readonly taskGroups: Group[];
  /** By position in `locks.executions`, the group that asked. */
  readonly executionGroups: Group[];
  /** By position in `locks.openTasksOf`. */
  readonly openTaskGroups: Group[];
  /** By position in `locks.starts`. */
  readonly startGroups: Group[];
}

/**
 * Groups commands by execution, in the order in which executions are locked everywhere. With
 * `lookUpStarts` the starts are looked up first, because some of them exist already.
 */
export function formBatch(commands: readonly EngineCommand[], lookUpStarts: boolean): Batch {
  const groups = groupByExecution(commands);
  const executionGroups = groups.filter((group) =>
    group.commands.some((command) => command.kind !== "start"),
  );
  const openTaskGroups = groups.filter((group) => group.commands.some(touchesAllTasks));
  const startGroups = lookUpStarts ? groups.filter((group) => group.start !== undefined) : [];
  const { tasks, taskGroups } = taskLocks(executionGroups);
  return {
    groups,
    taskGroups,
    executionGroups,
    openTaskGroups,
    startGroups,
    locks: {
      executions: executionGroups,
      tasks,
      openTasksOf: openTaskGroups,
      starts: startGroups.map((group) => ({ ...keyOf(group), idempotencyKey: group.start?.idempotencyKey })),
    },
  };
}

function groupByExecution(commands: readonly EngineCommand[]): Group[] {
  const groups = new Map<string, Group>();
  for (const command of commands) {
    const executionId = executionIdOf(command);
    const namespaceId = namespaceIdOf(command);
    // The same id may be asked for in two namespaces; they are different executions.
    const key = `${executionId}/${namespaceId}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = newGroup(namespaceId, executionId)));
    group.commands.push(command);
    if (command.kind === "start") group.start ??= command;
  }
  return [...groups.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

function keyOf(group: Group): ExecutionKey {
  return { namespaceId: group.namespaceId, executionId: group.executionId };
}

function touchesAllTasks(command: EngineCommand): boolean {
  return command.kind === "cancel" || command.kind === "executionDue";
}

function taskLocks(groups: readonly Group[]): { tasks: TaskKey[]; taskGroups: Group[] } {
  const tasks: TaskKey[] = [];
  const taskGroups: Group[] = [];
  for (const group of groups) {
    const [command] = group.commands;
    const alone = group.commands.length === 1 && command !== undefined;
    const taskIds = alone ? taskIdOf(command) : [...new Set(group.commands.flatMap(taskIdOf))].sort();
    for (const taskId of taskIds) {
      tasks.push({ ...keyOf(group), taskId, mapIndex: -1 });
      taskGroups.push(group);
    }
  }
  return { tasks, taskGroups };
}

function taskIdOf(command: EngineCommand): string[] {
  if (command.kind === "report" || command.kind === "lose") return [command.ref.taskId];
  return command.kind === "taskDue" ? [command.taskId] : [];
}

/** Gives each group the rows that were locked for it. */
export function distributeRows(batch: Batch, rows: LockedRows): void {
  batch.executionGroups.forEach((group, position) => (group.locked = rows.executions[position]));
  batch.taskGroups.forEach((group, position) => {
    const row = rows.tasks[position];
    const taskId = batch.locks.tasks[position]?.taskId;
    if (row !== undefined && taskId !== undefined) group.handOuts.set(taskId, row);
  });
  batch.openTaskGroups.forEach((group, position) => {
    for (const row of rows.openTasks[position] ?? []) group.handOuts.set(row.taskId, row);
  });
}

/** The execution that a start repeats, if one of those found, or an earlier start of the batch, is it. */
export function findRepeated(start: StartCommand, found: readonly FoundStart[]): FoundStart | undefined {
  const { executionId } = start.facts;
  return (
    found.find((existing) => existing.executionId === executionId) ??
    found.find(
      (existing) => existing.idempotencyKey !== undefined && existing.idempotencyKey === start.idempotencyKey,
    )
  );
}
