import type { Payload } from "./payload.js";

/** Why an attempt, a task or an execution did not succeed. */
export interface Failure {
  /** Stable, UPPER_SNAKE_CASE. HANDLER_FAILED when a handler reported it. */
  readonly reason: string;
  readonly message: string;
  /** The handler's own name of the error; retry policies match on it. */
  readonly errorType?: string;
  readonly nonRetryable?: boolean;
  /** Overrides the delay of the retry policy. */
  readonly retryAfterMs?: number;
  readonly stackTrace?: string;
  readonly details?: Payload;
  /** The task that failed, when this is the failure of an execution. */
  readonly taskId?: string;
  readonly cause?: Failure;
}

/** An estimate of the memory and the row that a failure takes. */
export function failureBytes(failure: Failure | undefined): number {
  if (failure === undefined) return 0;
  const { message, stackTrace = "", details, cause } = failure;
  return 100 + message.length + stackTrace.length + (details?.data.length ?? 0) + failureBytes(cause);
}
