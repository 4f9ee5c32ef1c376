import type { Command } from "commander";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Execution } from "../../gen/headrace/v1/execution_pb.js";
import { ExecutionService } from "../../gen/headrace/v1/execution_service_pb.js";
import type { Cli } from "../cli.js";
import { CliError, EXIT } from "../cli-error.js";
import { withClient, type ClientSession } from "../client-session.js";
import { explainInterrupt, printExecutionJson, printOutput, requireCompleted } from "../execution-end.js";
import { isUnreachable, Patience } from "../follow.js";
import { isExecutionOver } from "../status.js";
import { readDuration } from "../option-values.js";
import { addStartOptions, startExecution, type StartOptions } from "../start-request.js";
import { createStyle, wantsColor } from "../style.js";
import { watchExecution } from "../watch-execution.js";

interface RunOptions extends StartOptions {
  readonly watch?: boolean;
  readonly timeout?: string;
  readonly color?: boolean;
}

/** Long enough to be rare, short enough that a proxy in between does not take the call for dead. */
const LONGEST_WAIT_MS = 60_000;
/** How much later than the server this side gives a wait up. */
const ANSWER_GRACE_MS = 10_000;
/** Timers of Node fire at once beyond this. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** `headrace run`: starts an execution, waits for its end and prints the output. */
export function defineRun(command: Command, cli: Cli): void {
  addStartOptions(command)
    .option("-w, --watch", "show the graph while it runs, on standard error")
    .option("--timeout <duration>", "wait at most this long; the execution goes on afterwards")
    .addHelpText(
      "after",
      `
Examples:
  headrace run order --input '{"amount": 5}'
  headrace run order --input @order.json --watch
  headrace run order --input - --timeout 30s < order.json | jq .total`,
    )
    .action((workflow: string, options: RunOptions) =>
      withClient(cli, command, (session) => run(session, workflow, options)),
    );
}

async function run(session: ClientSession, workflow: string, options: RunOptions): Promise<void> {
  const timeoutMs = options.timeout === undefined ? undefined : readDuration(options.timeout, "--timeout");
  const { executionId } = await startExecution(session, workflow, options);
  const { cli, out, signal } = session;
  if (!out.json) cli.stderr.write(`execution ${executionId}\n`);
  const overdue =
    timeoutMs === undefined ? undefined : AbortSignal.timeout(Math.min(timeoutMs, LONGEST_TIMER_MS));
  const limited =
    overdue === undefined ? session : { ...session, signal: AbortSignal.any([signal, overdue]) };
  let execution: Execution;
  try {
    execution = await (options.watch === true
      ? watch(limited, executionId, options)
      : wait(limited, executionId));
  } catch (error) {
    throw overdue?.aborted === true && !signal.aborted
      ? overdueError(executionId, options)
      : explainInterrupt(error, executionId);
  }
  // A watch has printed its JSON lines already, the last of which is the end.
  if (out.json && options.watch !== true) printExecutionJson(execution, out);
  requireCompleted(execution);
  if (!out.json) printOutput(execution, out);
}

/** The view goes to standard error, so that standard output has the output of the execution and nothing else. */
function watch(session: ClientSession, executionId: string, { color }: RunOptions): Promise<Execution> {
  const { stderr, env } = session.cli;
  const style = createStyle(wantsColor(stderr, env, color === false));
  return watchExecution(session, executionId, { stream: stderr, style });
}

async function wait(
  { connection, namespace, signal }: ClientSession,
  executionId: string,
): Promise<Execution> {
  const request = { namespace, executionId, timeout: durationFromMs(LONGEST_WAIT_MS) };
  const options = { signal, timeoutMs: LONGEST_WAIT_MS + ANSWER_GRACE_MS };
  const patience = new Patience(signal);
  while (true) {
    try {
      const { execution } = await connection.unary(ExecutionService.method.waitExecution, request, options);
      if (execution !== undefined && isExecutionOver(execution.status)) return execution;
      await patience.wait();
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      if (error.facts.reason === "WAIT_OVER") patience.renew();
      else await patience.wait(error);
    }
  }
}

function overdueError(executionId: string, { timeout }: RunOptions): CliError {
  return new CliError(
    EXIT.notCompleted,
    `execution ${executionId} has not ended after ${timeout ?? ""}; it goes on`,
    {
      reason: "WAIT_OVER",
      remedy: `follow it with \`headrace watch ${executionId}\``,
    },
  );
}
