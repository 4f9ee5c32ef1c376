import type { Command } from "commander";
import {
  CancelExecutionResponseSchema,
  ExecutionService,
  type CancelExecutionResponse,
} from "../../gen/headrace/v1/execution_service_pb.js";
import type { Cli } from "../cli.js";
import { withClient, type ClientSession } from "../client-session.js";
import { readProtoDuration } from "../option-values.js";
import { executionStatusLabel, isExecutionOver } from "../status.js";

interface CancelOptions {
  readonly reason?: string;
  readonly grace?: string;
}

/** `headrace cancel`: cancels an execution. */
export function defineCancel(command: Command, cli: Cli): void {
  command
    .argument("<execution-id>", "id of the execution")
    .option("--reason <text>", "why, for people")
    .option("--grace <duration>", "time that running tasks get to end; 0s forces (default: 30s)")
    .action((executionId: string, options: CancelOptions) =>
      withClient(cli, command, (session) => cancel(session, executionId, options)),
    );
}

async function cancel(session: ClientSession, executionId: string, options: CancelOptions): Promise<void> {
  const { connection, namespace, out, signal } = session;
  const grace = readProtoDuration(options.grace, "--grace");
  const answer = await connection.unary(
    ExecutionService.method.cancelExecution,
    { namespace, executionId, reason: options.reason ?? "", ...(grace === undefined ? {} : { grace }) },
    { signal },
  );
  if (out.json) {
    out.message(CancelExecutionResponseSchema, answer);
    return;
  }
  out.line(outcomeText(answer, executionStatusLabel(answer.status, out.style)));
}

function outcomeText({ accepted, status }: CancelExecutionResponse, label: string): string {
  if (accepted) return isExecutionOver(status) ? `cancelled, now ${label}` : `cancelling, now ${label}`;
  return isExecutionOver(status)
    ? `nothing to do, it is ${label}`
    : `it is being cancelled already, now ${label}`;
}
