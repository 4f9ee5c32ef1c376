import { HeadraceError } from "../core/errors.js";
import type { AttemptRef, ReportAck } from "./api.js";
import { applyCommand, fenceOf, runningTasks, type Group } from "./group.js";
import type {
  CancelExecutionCommand,
  EngineCommand,
  ExecutionDueCommand,
  LoseHandOutCommand,
  ReportCommand,
  TaskDueCommand,
} from "./request.js";

/** Whether a group needs the state of its execution, or the fence alone answers all its commands. */
export function needsState(group: Group): boolean {
  return group.commands.some((command) => {
    if (command.kind === "start") return false;
    if (command.kind !== "report" && command.kind !== "lose") return true;
    return fenceOf(group, command.ref, sessionOf(command)).kind === "current";
  });
}

function sessionOf(command: ReportCommand | LoseHandOutCommand): string | undefined {
  return command.kind === "report" ? command.sessionId : undefined;
}

/** Applies one command to the draft of its group and queues its answer. */
export function apply(group: Group, command: EngineCommand, nowMs: number): void {
  switch (command.kind) {
    case "start":
      return;
    case "report":
      return applyReport(group, command, nowMs);
    case "lose":
      return applyLoss(group, command, nowMs);
    case "taskDue":
      return applyTaskDue(group, command, nowMs);
    case "executionDue":
      return applyExecutionDue(group, command, nowMs);
    case "cancel":
      return applyCancel(group, command, nowMs);
  }
}

function applyReport(group: Group, command: ReportCommand, nowMs: number): void {
  const { ref, outcome, reply } = command;
  const ack = settleReport(group, command, () =>
    applyCommand(
      group,
      { kind: "report", index: indexOf(group, ref), outcome, random: Math.random() },
      nowMs,
    ),
  );
  group.answers.push(() => reply.resolve(ack));
}

function settleReport(group: Group, command: ReportCommand, report: () => boolean): ReportAck {
  const { ref, sessionId } = command;
  const verdict = fenceOf(group, ref, sessionId);
  if (verdict.kind === "duplicate") return { attempt: ref, result: "DUPLICATE", reason: "", message: "" };
  if (verdict.kind === "stale") {
    return { attempt: ref, result: "STALE", reason: verdict.reason, message: verdict.message };
  }
  if (!report()) {
    return { attempt: ref, result: "STALE", reason: "EXECUTION_ENDED", message: "The execution has ended." };
  }
  return { attempt: ref, result: "COMMITTED", reason: "", message: "" };
}

function applyLoss(group: Group, command: LoseHandOutCommand, nowMs: number): void {
  const { ref, reason, counted, reply } = command;
  const current = fenceOf(group, ref, undefined).kind === "current";
  const ended =
    current &&
    applyCommand(
      group,
      { kind: "lose", index: indexOf(group, ref), reason, counted, random: Math.random() },
      nowMs,
    );
  group.answers.push(() => reply.resolve(ended));
}

function applyTaskDue(group: Group, command: TaskDueCommand, nowMs: number): void {
  const index = group.draft?.state.facts.plan.indexOf.get(command.taskId);
  const running = group.handOuts.get(command.taskId)?.status === "RUNNING";
  // A worker has it: its timeouts are with its lease now, not with this timer.
  if (index !== undefined && !running) {
    applyCommand(group, { kind: "taskDue", index }, Math.max(nowMs, command.seenAtMs));
  }
  group.answers.push(() => command.reply.resolve(undefined));
}

function applyExecutionDue(group: Group, command: ExecutionDueCommand, nowMs: number): void {
  const running = runningTasks(group);
  applyCommand(group, { kind: "executionDue", running }, Math.max(nowMs, command.seenAtMs));
  group.answers.push(() => command.reply.resolve(undefined));
}

function applyCancel(group: Group, command: CancelExecutionCommand, nowMs: number): void {
  const { draft } = group;
  const { reply, reason, graceMs } = command;
  if (draft === undefined) {
    group.answers.push(() => reply.reject(executionNotFound(group.executionId)));
    return;
  }
  const before = draft.state.cancelRequestedAtMs;
  applyCommand(group, { kind: "cancel", reason, graceMs, running: runningTasks(group) }, nowMs);
  const accepted = before === undefined && draft.state.cancelRequestedAtMs !== undefined;
  group.answers.push(() => reply.resolve({ accepted, status: draft.state.status }));
}

/** The error of an execution that is not there. */
export function executionNotFound(executionId: string): HeadraceError {
  return new HeadraceError("EXECUTION_NOT_FOUND", `There is no execution ${executionId} in this namespace.`, {
    field: "execution_id",
    actual: executionId,
  });
}

function indexOf(group: Group, ref: AttemptRef): number {
  const index = group.draft?.state.facts.plan.indexOf.get(ref.taskId);
  if (index === undefined) throw new RangeError(`Task ${ref.taskId} has a row but is not in the plan`);
  return index;
}
