import { ExecutionSchema, ExecutionStatus, type Execution } from "../gen/headrace/v1/execution_pb.js";
import type { Failure } from "../gen/headrace/v1/payload_pb.js";
import { CliError, EXIT } from "./cli-error.js";
import type { Output } from "./output.js";
import { payloadText } from "./payload.js";
import { executionStatusName } from "./status.js";
import { manyLines } from "./text.js";

/** Prints the output of an execution that completed. */
export function printOutput({ output }: Execution, out: Output): void {
  const isText = output === undefined || output.encoding === "" || output.encoding === "json";
  if (isText) out.line(payloadText(output));
  else out.bytes(output.data);
}

/** Prints the execution as JSON. */
export function printExecutionJson(execution: Execution, out: Output): void {
  out.message(ExecutionSchema, execution);
}

/** Throws unless the execution completed, so that the command exits with 1. */
export function requireCompleted(execution: Execution): void {
  if (execution.status === ExecutionStatus.COMPLETED) return;
  const status = executionStatusName(execution.status);
  const why = failureText(execution.failure);
  throw new CliError(
    EXIT.notCompleted,
    `execution ${execution.executionId} is ${status}${why === "" ? "" : `: ${why}`}`,
    {
      reason: execution.failure?.reason ?? status,
      remedy: `see \`headrace get ${execution.executionId} --tasks\``,
    },
  );
}

/** A failure and its causes: "no funds (CardDeclined)". */
export function failureText(failure: Failure | undefined): string {
  if (failure === undefined) return "";
  const own = manyLines(failureLabel(failure));
  const cause = failureText(failure.cause);
  return cause === "" ? own : `${own}\n  caused by ${cause}`;
}

/** A failure without its causes: the message, then the name of the error or of the server's reason. */
export function failureLabel({ message, errorType, reason }: Failure): string {
  const name = errorType === "" ? reason : errorType;
  return message === "" ? name : `${message} (${name})`;
}

/** After an interrupt: the same error, saying that the execution goes on. */
export function explainInterrupt(error: unknown, executionId: string): unknown {
  if (!(error instanceof CliError) || error.exitCode !== EXIT.interrupted) return error;
  return new CliError(EXIT.interrupted, `interrupted; execution ${executionId} goes on`, {
    reason: "INTERRUPTED",
    remedy: `follow it with \`headrace watch ${executionId}\`, or end it with \`headrace cancel ${executionId}\``,
    cause: error,
  });
}
