import type { Outcome, LossReason } from "../core/command.js";
import type { ExecutionFacts } from "../core/execution-state.js";
import { failureBytes } from "../core/failure.js";
import type { Payload } from "../core/payload.js";
import type { ExecutionStatus } from "../core/status.js";
import type { AttemptRef, ExecutionEnd, ReportAck, StartAnswer } from "./api.js";

/** How a request is answered: once, and only after the commit that it needed. */
export interface Reply<Answer> {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** Create an execution, unless it exists. */
export interface StartCommand {
  readonly kind: "start";
  readonly facts: ExecutionFacts;
  readonly idempotencyKey: string | undefined;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly parentSpanId: Uint8Array | undefined;
  readonly tracestate: string | undefined;
  /** Whether the client asked for this version by name; a repeat must then ask for the same. */
  readonly versionAsked: boolean;
  readonly onEnd: ((end: ExecutionEnd) => void) | undefined;
  /** Until when `onEnd` is wanted. */
  readonly signal: AbortSignal | undefined;
  readonly reply: Reply<StartAnswer>;
}

/** A worker says what became of an attempt. */
export interface ReportCommand {
  readonly kind: "report";
  readonly namespaceId: number;
  readonly ref: AttemptRef;
  readonly sessionId: string;
  readonly outcome: Outcome;
  /** Details of the attempt's last beat, for the next attempt. */
  readonly heartbeat: Payload | undefined;
  readonly reply: Reply<ReportAck>;
}

/** The server takes a hand-out back. */
export interface LoseHandOutCommand {
  readonly kind: "lose";
  readonly namespaceId: number;
  readonly ref: AttemptRef;
  readonly reason: LossReason;
  readonly counted: boolean;
  readonly heartbeat: Payload | undefined;
  /** True when the hand-out was current and is ended now. */
  readonly reply: Reply<boolean>;
}

/** A timer of a task that nobody runs. */
export interface TaskDueCommand {
  readonly kind: "taskDue";
  readonly namespaceId: number;
  readonly executionId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  /** Database time at which it was found to be due. */
  readonly seenAtMs: number;
  readonly reply: Reply<undefined>;
}

/** A deadline, or the end of a cancellation's grace. */
export interface ExecutionDueCommand {
  readonly kind: "executionDue";
  readonly namespaceId: number;
  readonly executionId: string;
  readonly seenAtMs: number;
  readonly reply: Reply<undefined>;
}

/** A client asks an execution to end. */
export interface CancelExecutionCommand {
  readonly kind: "cancel";
  readonly namespaceId: number;
  readonly executionId: string;
  readonly reason: string;
  readonly graceMs: number;
  readonly reply: Reply<{ accepted: boolean; status: ExecutionStatus }>;
}

/** Everything that changes an execution, as it enters the committer. */
export type EngineCommand =
  | StartCommand
  | ReportCommand
  | LoseHandOutCommand
  | TaskDueCommand
  | ExecutionDueCommand
  | CancelExecutionCommand;

/** The execution that a command is about. */
export function executionIdOf(command: EngineCommand): string {
  switch (command.kind) {
    case "start":
      return command.facts.executionId;
    case "report":
    case "lose":
      return command.ref.executionId;
    default:
      return command.executionId;
  }
}

/** The namespace of the execution that a command is about. */
export function namespaceIdOf(command: EngineCommand): number {
  return command.kind === "start" ? command.facts.namespaceId : command.namespaceId;
}

/** Bytes that a command brings along, for the bounds of a batch and of what waits. */
export function commandBytes(command: EngineCommand): number {
  switch (command.kind) {
    case "start":
      return 300 + command.facts.input.data.length;
    case "report":
      return 200 + outcomeBytes(command.outcome) + payloadBytes(command.heartbeat);
    case "lose":
      return 200 + payloadBytes(command.heartbeat);
    default:
      return 200;
  }
}

function outcomeBytes(outcome: Outcome): number {
  if (outcome.kind === "success") return payloadBytes(outcome.output);
  return outcome.kind === "failure" ? failureBytes(outcome.failure) : 0;
}

function payloadBytes(payload: Payload | undefined): number {
  return payload?.data.length ?? 0;
}
