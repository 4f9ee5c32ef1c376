import type { Failure } from "./failure.js";
import type { PlanRetry } from "./plan.js";

/** No `retry_after` of a handler holds a task back for longer: 24 hours. */
export const RETRY_AFTER_MAX_MS = 24 * 60 * 60 * 1000;

/**
 * Whole milliseconds from the failure of an attempt, numbered from 1, to the next one. The policy's
 * delay is capped, spread by the jitter to both sides, and capped again, so no delay is longer than
 * the cap and delays at the cap still differ. `random` is in [0, 1). A `retryAfterMs` of the handler
 * wins over the whole policy, its cap included, but is itself capped at 24 hours.
 */
export function retryDelayMs(
  retry: PlanRetry,
  failedAttempt: number,
  random: number,
  retryAfterMs?: number,
): number {
  if (retryAfterMs !== undefined && !Number.isNaN(retryAfterMs)) {
    return Math.round(clamp(retryAfterMs, RETRY_AFTER_MAX_MS));
  }
  const delayMs = clamp(backoffMs(retry, failedAttempt), retry.maxIntervalMs);
  const spread = 1 + retry.jitter * (2 * random - 1);
  return Math.round(clamp(delayMs * spread, retry.maxIntervalMs));
}

/** Whether the policy allows another attempt after this failure, attempts left aside. */
export function isRetryable(retry: PlanRetry, failure: Failure): boolean {
  if (failure.nonRetryable === true) return false;
  return failure.errorType === undefined || !retry.nonRetryableErrorTypes.has(failure.errorType);
}

function backoffMs(retry: PlanRetry, failedAttempt: number): number {
  const { initialIntervalMs, factor } = retry;
  switch (retry.backoff) {
    case "FIXED":
      return initialIntervalMs;
    case "LINEAR":
      return initialIntervalMs * failedAttempt;
    case "EXPONENTIAL":
      // Nothing times infinity is not a number, but no delay stays none however often it grows.
      return initialIntervalMs === 0 ? 0 : initialIntervalMs * factor ** (failedAttempt - 1);
  }
}

function clamp(valueMs: number, maxMs: number): number {
  return Math.min(Math.max(valueMs, 0), maxMs);
}
