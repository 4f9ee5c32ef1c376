import type { PlanRetry } from "./plan.js";
import type { RetrySpec } from "./workflow-spec.js";

/** The queue of a task that names none. */
export const DEFAULT_QUEUE = "default";

/** What a retry policy does about what it does not say. */
export const DEFAULT_RETRY: PlanRetry = {
  maxAttempts: 3,
  initialIntervalMs: 1_000,
  backoff: "EXPONENTIAL",
  factor: 2,
  maxIntervalMs: 60_000,
  jitter: 0.25,
  nonRetryableErrorTypes: new Set(),
  maxCrashes: 3,
};

/** The whole policy: what was written, and the defaults. */
export function planRetry(spec: RetrySpec | undefined): PlanRetry {
  if (spec === undefined) return DEFAULT_RETRY;
  return {
    maxAttempts: spec.maxAttempts ?? DEFAULT_RETRY.maxAttempts,
    initialIntervalMs: spec.initialIntervalMs ?? DEFAULT_RETRY.initialIntervalMs,
    backoff: spec.backoff ?? DEFAULT_RETRY.backoff,
    factor: spec.factor ?? DEFAULT_RETRY.factor,
    maxIntervalMs: spec.maxIntervalMs ?? DEFAULT_RETRY.maxIntervalMs,
    jitter: spec.jitter ?? DEFAULT_RETRY.jitter,
    nonRetryableErrorTypes: new Set(spec.nonRetryableErrorTypes),
    maxCrashes: spec.maxCrashes ?? DEFAULT_RETRY.maxCrashes,
  };
}
