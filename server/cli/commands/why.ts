import type { Command } from "commander";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ExecutionService,
  ExplainExecutionResponseSchema,
} from "../../gen/headrace/v1/execution_service_pb.js";
import type { Cli } from "../cli.js";
import { withClient, type ClientSession } from "../client-session.js";
import { taskKey } from "../execution-model.js";
import { executionStatusLabel, isExecutionOver, taskStatusLabel } from "../status.js";
import { oneLine, relativeTime } from "../text.js";

/** `headrace why`: tells why tasks are not running. */
export function defineWhy(command: Command, cli: Cli): void {
  command
    .argument("<execution-id>", "id of the execution")
    .argument("[task-id]", "only this task (default: the first 100 that have not ended)")
    .action((executionId: string, taskId: string | undefined) =>
      withClient(cli, command, (session) => explain(session, executionId, taskId ?? "")),
    );
}

async function explain(session: ClientSession, executionId: string, taskId: string): Promise<void> {
  const { connection, namespace, out, signal } = session;
  const request = { namespace, executionId, taskId };
  const answer = await connection.unary(ExecutionService.method.explainExecution, request, { signal });
  if (out.json) {
    out.message(ExplainExecutionResponseSchema, answer);
    return;
  }
  if (answer.reasons.length === 0) {
    const status = executionStatusLabel(answer.status, out.style);
    out.line(
      isExecutionOver(answer.status) ? `nothing waits: it is ${status}` : `no task waits; it is ${status}`,
    );
    return;
  }
  const nowMs = Date.now();
  const rows = answer.reasons.map((reason) => [
    taskKey(reason),
    taskStatusLabel(reason.status, out.style),
    reason.reason,
    reason.until === undefined ? "" : relativeTime(timestampMs(reason.until), nowMs),
    oneLine(reason.message),
  ]);
  out.table(["TASK", "STATUS", "REASON", "UNTIL", "MESSAGE"], rows, { keys: ["TASK"], wraps: "MESSAGE" });
}
