import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { Assignment, ReportEntry, WorkerApi } from "../engine/api.js";
import type { Ack, ReportRequest, WorkerService } from "../gen/headrace/v1/worker_service_pb.js";
import {
  ackMessage,
  assignmentBytesMax,
  assignmentMessage,
  cancelMessage,
  convertBeat,
  convertReport,
  rejectedAck,
} from "./convert-attempt.js";
import { namespaceOf } from "./convert-id.js";
import { convertPoll, convertSessionId, workerMessage } from "./convert-worker.js";
import { FieldCheck } from "./field-check.js";
import { pageTokenOf } from "./request-rules.js";
import type { Impl } from "./service-impl.js";
import { WorkerStream, type WorkerStreamOptions } from "./worker-stream.js";

const WORKERS_PAGE_DEFAULT = 100;

/** WorkerService on the engine. */
export function workerHandlers(options: WorkerStreamOptions): Impl<typeof WorkerService> {
  const { limits } = options;
  const { workers } = options.engine;
  return {
    connect: (call, context) => new WorkerStream(options, call, context),

    async poll(request, context) {
      const poll = convertPoll(request, limits);
      const { sessionId, assignments, cancels } = await workers.poll(poll, context.signal);
      const kept = await keepWhatFits(workers, { namespace: poll.namespace, sessionId }, assignments, limits);
      return { sessionId, assignments: kept.map(assignmentMessage), cancels: cancels.map(cancelMessage) };
    },

    report: (request) => report(workers, request, limits),

    async listWorkers(request) {
      const check = new FieldCheck();
      const pageSize = check.pageSize(request.pageSize, WORKERS_PAGE_DEFAULT, limits.pageSize);
      const pageToken = pageTokenOf(check, request);
      check.finish();
      const page = await workers.list(namespaceOf(request), { pageSize, pageToken });
      return { workers: page.items.map(workerMessage), nextPageToken: page.nextPageToken };
    },
  };
}

interface SessionRef {
  readonly namespace: string;
  readonly sessionId: string;
}

/** The assignments that one message can carry. The others are given back at once, which counts no try. */
async function keepWhatFits(
  workers: WorkerApi,
  session: SessionRef,
  assignments: readonly Assignment[],
  limits: Limits,
): Promise<readonly Assignment[]> {
  let bytes = 0;
  const tooMany = assignments.findIndex((assignment, index) => {
    bytes += assignmentBytesMax(assignment);
    return index > 0 && bytes > limits.messageBytes;
  });
  if (tooMany < 0) return assignments;
  const reports = assignments
    .slice(tooMany)
    .map(({ attempt }) => ({ attempt, outcome: { kind: "givenBack" as const } }));
  await workers.report({ ...session, reports, beats: [] });
  return assignments.slice(0, tooMany);
}

async function report(
  workers: WorkerApi,
  request: ReportRequest,
  limits: Limits,
): ReturnType<Impl<typeof WorkerService>["report"]> {
  const check = new FieldCheck();
  const sessionId = convertSessionId(check, request.sessionId);
  if (request.sessionId === "") check.invalid("session_id", "session_id is required.");
  check.count("reports", request.reports.length, limits.reportsPerMessage);
  check.count("beats", request.beats.length, 2 * limits.creditPerSession);
  check.finish();
  const beats = request.beats.map((beat, index) => convertBeat(`beats[${index}]`, beat, limits));
  const converted = request.reports.map((each, index) => convertOrReject(`reports[${index}]`, each, limits));
  const reports = converted.filter((each): each is ReportEntry => !("$typeName" in each));
  const answer = await workers.report({ namespace: namespaceOf(request), sessionId, reports, beats });
  const committed = answer.acks.map(ackMessage).values();
  const acks: Ack[] = [];
  for (const each of converted) {
    const ack = "$typeName" in each ? each : committed.next().value;
    if (ack !== undefined) acks.push(ack);
  }
  return { acks, cancels: answer.cancels.map(cancelMessage) };
}

/** The report or, when it can never be committed as it is, the ack that says so. */
function convertOrReject(
  field: string,
  message: ReportRequest["reports"][number],
  limits: Limits,
): ReportEntry | Ack {
  try {
    return convertReport(field, message, limits);
  } catch (error) {
    if (!(error instanceof HeadraceError) || message.attempt === undefined) throw error;
    return rejectedAck(message.attempt, error);
  }
}
