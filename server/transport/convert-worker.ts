import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Limits } from "../core/limits.js";
import type { AttemptRef, HelloRequest, PollRequest, WelcomeAnswer, WorkerView } from "../engine/api.js";
import type {
  AttemptRef as AttemptRefMessage,
  Hello,
  PollRequest as PollMessage,
  Resume,
  Welcome,
  WorkerSchema,
} from "../gen/headrace/v1/worker_service_pb.js";
import { attemptRefMessage, convertAttemptRef } from "./convert-attempt.js";
import { namespaceOf, uuidOf } from "./convert-id.js";
import { convertDuration, durationOf, timestampOf } from "./convert-time.js";
import { FieldCheck } from "./field-check.js";

/**
 * How a worker introduces itself. What it says is for the engine to judge; here only what it holds must be
 * well-formed. Throws INVALID_FIELD.
 */
export function convertHello(message: Hello, limits: Limits): HelloRequest {
  const { workerName, sdkName, sdkVersion, buildId, features, handlers, queues, credit, slots, labels } =
    message;
  const resume = message.resume === undefined ? undefined : convertResume(message.resume, limits);
  const namespace = namespaceOf(message);
  return {
    ...{ namespace, workerName, sdkName, sdkVersion, buildId, features, handlers, queues },
    ...{ credit, slots, labels, resume },
  };
}

function convertResume(message: Resume, limits: Limits): NonNullable<HelloRequest["resume"]> {
  const check = new FieldCheck();
  const sessionId = uuidOf(message.sessionId);
  if (sessionId === undefined)
    check.invalid("hello.resume.session_id", "hello.resume.session_id is no UUID.");
  const held = convertHeld(check, "hello.resume.held", message.held, limits);
  return { sessionId: sessionId ?? "", held };
}

function convertHeld(
  check: FieldCheck,
  field: string,
  held: readonly AttemptRefMessage[],
  limits: Limits,
): AttemptRef[] {
  // A worker may hold what it was assigned and what it has yet to be acknowledged for.
  check.count(field, held.length, 2 * limits.creditPerSession);
  check.finish();
  return held.map((ref, index) => convertAttemptRef(`${field}[${index}]`, ref, limits));
}

/** A call for tasks, of which the engine judges names and numbers. Throws INVALID_FIELD. */
export function convertPoll(message: PollMessage, limits: Limits): PollRequest {
  const check = new FieldCheck();
  const { workerName, handlers, queues, maxTasks, sdkName, sdkVersion } = message;
  const waitMs = convertDuration(check, "wait", message.wait) ?? 0;
  const sessionTimeoutMs = convertDuration(check, "session_timeout", message.sessionTimeout);
  const sessionId = convertSessionId(check, message.sessionId);
  const held = message.held && convertHeld(check, "held.attempts", message.held.attempts, limits);
  check.finish();
  const namespace = namespaceOf(message);
  return {
    ...{ namespace, workerName, sessionId, handlers, queues },
    ...{ maxTasks, waitMs, sessionTimeoutMs, held, sdkName, sdkVersion },
  };
}

/** The id of a session of Poll: a UUID or, before there is one, empty. */
export function convertSessionId(check: FieldCheck, text: string): string {
  const sessionId = text === "" ? "" : uuidOf(text);
  if (sessionId === undefined)
    check.invalid("session_id", "session_id is no UUID.", { actual: text.slice(0, 100) });
  return sessionId ?? "";
}

/** What a worker is told when its session is open. */
export function welcomeMessage(answer: WelcomeAnswer, limits: Limits, serverVersion: string): Welcome {
  return {
    $typeName: "headrace.v1.Welcome",
    sessionId: answer.sessionId,
    beatInterval: durationOf(answer.beatIntervalMs),
    beatTimeout: durationOf(answer.beatTimeoutMs),
    deliveryTimeout: durationOf(answer.deliveryTimeoutMs),
    limits: {
      $typeName: "headrace.v1.Limits",
      payloadBytes: BigInt(limits.payloadBytes),
      messageBytes: BigInt(limits.messageBytes),
      reportsPerMessage: limits.reportsPerMessage,
      credit: limits.creditPerSession,
    },
    features: [],
    resumed: answer.resumed,
    stale: answer.stale.map(({ attempt, reason }) => ({
      $typeName: "headrace.v1.StaleAttempt",
      attempt: attemptRefMessage(attempt),
      reason,
    })),
    serverVersion,
    replicaId: answer.replicaId,
  };
}

/** A connected worker as clients see it. */
export function workerMessage(view: WorkerView): MessageInitShape<typeof WorkerSchema> {
  const { connectedAtMs, handlers, queues, labels, ...same } = view;
  return {
    ...same,
    handlers: [...handlers],
    queues: [...queues],
    labels: { ...labels },
    connectedAt: timestampOf(connectedAtMs),
  };
}
