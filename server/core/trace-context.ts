import { hash } from "node:crypto";

/** The trace of an execution that was started without one: its own id, which is 128 bits as well. */
export function traceIdOf(executionId: string): string {
  return executionId.replaceAll("-", "");
}

interface AttemptName {
  readonly executionId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly attempt: number;
}

/** The span of an attempt; derived, so that an export repeated after a crash names the same span. */
export function attemptSpanId({ executionId, taskId, mapIndex, attempt }: AttemptName): string {
  const name = `${executionId}/${taskId}/${mapIndex}/${attempt}`;
  return hash("sha256", name, "hex").slice(0, 16);
}

/** The `traceparent` under which the work of an attempt nests. */
export function traceparentOf(attempt: AttemptName, traceId: string, flags: number | undefined): string {
  return `00-${traceId}-${attemptSpanId(attempt)}-${(flags ?? 1).toString(16).padStart(2, "0")}`;
}
