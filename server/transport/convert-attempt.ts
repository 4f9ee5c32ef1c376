import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type {
  AckResult as AckWord,
  Assignment,
  AttemptRef,
  BeatEntry,
  CancelNotice,
  ReportAck,
  ReportEntry,
} from "../engine/api.js";
import type { Outcome } from "../core/command.js";
import {
  AckResult,
  type Ack,
  type Assignment as AssignmentMessage,
  type AttemptBeat,
  type AttemptRef as AttemptRefMessage,
  type Cancel,
  type Report,
} from "../gen/headrace/v1/worker_service_pb.js";
import { convertReportedFailure, kept } from "./convert-failure.js";
import { uuidOf } from "./convert-id.js";
import { convertPayload, optionalPayloadMessage, payloadMessage } from "./convert-payload.js";
import { optionalDurationOf, optionalTimestampOf } from "./convert-time.js";

// What crosses the wire for each task. Messages are complete plain objects with their type names, which
// the encoder takes as they are; building them through create() costs as much again as encoding them.

const LEASE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** The hand-out that a message is about. Throws INVALID_FIELD. */
export function convertAttemptRef(
  field: string,
  message: AttemptRefMessage | undefined,
  limits: Limits,
): AttemptRef {
  if (message === undefined) throw invalid(field, "is required");
  const { taskId, mapIndex, attempt, lease } = message;
  const executionId = uuidOf(message.executionId);
  if (executionId === undefined)
    throw invalid(`${field}.execution_id`, "is no UUID in its 36-character text form");
  if (taskId === "" || taskId.length > limits.nameChars || taskId.includes("\0")) {
    throw invalid(`${field}.task_id`, `must have 1 to ${limits.nameChars} characters, none of them NUL`);
  }
  if (mapIndex < -1) throw invalid(`${field}.map_index`, `is ${mapIndex}; it must be -1 or more`);
  if (attempt < 1) throw invalid(`${field}.attempt`, `is ${attempt}; attempts are numbered from 1`);
  if (lease < 1n || lease > LEASE_MAX)
    throw invalid(`${field}.lease`, `is ${lease}; it must be 1 to ${LEASE_MAX}`);
  return { executionId, taskId, mapIndex, attempt, lease: Number(lease) };
}

/** The message of a hand-out. */
export function attemptRefMessage(ref: AttemptRef): AttemptRefMessage {
  return {
    $typeName: "headrace.v1.AttemptRef",
    executionId: ref.executionId,
    taskId: ref.taskId,
    mapIndex: ref.mapIndex,
    attempt: ref.attempt,
    lease: BigInt(ref.lease),
  };
}

/** The message of an assignment. */
export function assignmentMessage(assignment: Assignment): AssignmentMessage {
  return {
    $typeName: "headrace.v1.Assignment",
    attempt: attemptRefMessage(assignment.attempt),
    handler: assignment.handler,
    queue: assignment.queue,
    input: payloadMessage(assignment.input),
    workflow: assignment.workflow,
    maxAttempts: assignment.maxAttempts,
    deadlineAt: optionalTimestampOf(assignment.deadlineAtMs),
    heartbeatTimeout: optionalDurationOf(assignment.heartbeatTimeoutMs),
    heartbeatDetails: optionalPayloadMessage(assignment.heartbeatDetails),
    traceparent: assignment.traceparent,
    crashes: assignment.crashes,
  };
}

/** At most as many bytes does an assignment take on the wire. */
export function assignmentBytesMax(assignment: Assignment): number {
  const { attempt, handler, queue, workflow, traceparent, input, heartbeatDetails } = assignment;
  const chars = attempt.taskId.length + handler.length + queue.length + workflow.length + traceparent.length;
  return (
    200 +
    3 * chars +
    payloadBytes(input) +
    (heartbeatDetails === undefined ? 0 : payloadBytes(heartbeatDetails))
  );
}

function payloadBytes(payload: { data: Uint8Array; encoding: string }): number {
  return payload.data.length + payload.encoding.length;
}

/** What a worker says became of an attempt. Throws INVALID_FIELD or PAYLOAD_TOO_LARGE. */
export function convertReport(field: string, message: Report, limits: Limits): ReportEntry {
  return {
    attempt: convertAttemptRef(`${field}.attempt`, message.attempt, limits),
    outcome: convertOutcome(field, message, limits),
  };
}

function convertOutcome(field: string, { outcome }: Report, limits: Limits): Outcome {
  switch (outcome.case) {
    case "success":
      return {
        kind: "success",
        output: convertPayload(`${field}.success.output`, outcome.value.output, limits),
      };
    case "failure":
      return { kind: "failure", failure: convertReportedFailure(`${field}.failure`, outcome.value, limits) };
    case "cancelled":
      return { kind: "cancelled", message: kept(outcome.value.message, limits.failureMessageChars) };
    case "givenBack":
      return { kind: "givenBack" };
    case undefined:
      throw invalid(`${field}.outcome`, "needs one of success, failure, cancelled or given_back");
  }
}

/** The sign of life of an attempt. Throws INVALID_FIELD or PAYLOAD_TOO_LARGE. */
export function convertBeat(field: string, message: AttemptBeat, limits: Limits): BeatEntry {
  const { progress } = message;
  return {
    attempt: convertAttemptRef(`${field}.attempt`, message.attempt, limits),
    progress: progress && {
      done: finite(`${field}.progress.done`, progress.done),
      total: finite(`${field}.progress.total`, progress.total),
      message: kept(progress.message, limits.failureMessageChars),
    },
    details: convertPayload(`${field}.details`, message.details, limits),
  };
}

function finite(field: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value;
  throw invalid(field, `is ${value}; it must be a number from 0`);
}

const ACK_RESULTS: Readonly<Record<AckWord, AckResult>> = AckResult;

/** The message of an ack of the engine. */
export function ackMessage(ack: ReportAck): Ack {
  const { attempt, result, reason, message } = ack;
  return {
    $typeName: "headrace.v1.Ack",
    attempt: attemptRefMessage(attempt),
    result: ACK_RESULTS[result],
    reason,
    message,
  };
}

/** The answer to a report that can never be committed as it is; the attempt goes on. */
export function rejectedAck(attempt: AttemptRefMessage, error: HeadraceError): Ack {
  return {
    $typeName: "headrace.v1.Ack",
    attempt,
    result: AckResult.REJECTED,
    reason: error.reason,
    message: `${error.message} ${error.remedy}`,
  };
}

/** The message of a wish that an attempt stops. */
export function cancelMessage(notice: CancelNotice): Cancel {
  return {
    $typeName: "headrace.v1.Cancel",
    attempt: attemptRefMessage(notice.attempt),
    reason: notice.reason,
    outcomeWanted: notice.outcomeWanted,
    deadlineAt: optionalTimestampOf(notice.deadlineAtMs),
  };
}

function invalid(field: string, problem: string): HeadraceError {
  return new HeadraceError("INVALID_FIELD", `${field} ${problem}.`, { field });
}
