import { readFileSync } from "node:fs";
import test from "ava";
import * as fc from "fast-check";
import { DEFAULT_RETRY } from "../../server/core/plan-defaults.js";
import { isRetryable, RETRY_AFTER_MAX_MS, retryDelayMs } from "../../server/core/retry.js";
import type { Backoff } from "../../server/core/workflow-spec.js";

interface Vector {
  readonly name: string;
  readonly retry: {
    readonly backoff: Backoff;
    readonly initial_interval_ms: number;
    readonly factor: number;
    readonly max_interval_ms: number;
    readonly jitter: number;
  };
  readonly failed_attempt: number;
  readonly random: number;
  readonly retry_after_ms?: number;
  readonly delay_ms: number;
}

const { vectors } = JSON.parse(readFileSync("test/vectors/retry-delay.json", "utf8")) as {
  vectors: readonly Vector[];
};

for (const { name, retry, failed_attempt, random, retry_after_ms, delay_ms } of vectors) {
  test(`vector: ${name}`, (t) => {
    const policy = {
      ...DEFAULT_RETRY,
      backoff: retry.backoff,
      initialIntervalMs: retry.initial_interval_ms,
      factor: retry.factor,
      maxIntervalMs: retry.max_interval_ms,
      jitter: retry.jitter,
    };
    t.is(retryDelayMs(policy, failed_attempt, random, retry_after_ms), delay_ms);
  });
}

const policies = fc.record({
  initialIntervalMs: fc.integer({ min: 0, max: 1e12 }),
  maxIntervalMs: fc.integer({ min: 0, max: 1e12 }),
  factor: fc.double({ min: 1, max: 100, noNaN: true }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  backoff: fc.constantFrom<Backoff>("FIXED", "LINEAR", "EXPONENTIAL"),
});
const attempts = fc.integer({ min: 1, max: 1_000 });
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test("no delay leaves its bounds", (t) => {
  fc.assert(
    fc.property(policies, attempts, randoms, (policy, attempt, random) => {
      const retry = { ...DEFAULT_RETRY, ...policy };
      const delayMs = retryDelayMs(retry, attempt, random);
      t.true(Number.isInteger(delayMs) && delayMs >= 0 && delayMs <= policy.maxIntervalMs);
      const middle = retryDelayMs({ ...retry, jitter: 0 }, attempt, random);
      t.true(Math.abs(delayMs - middle) <= middle * policy.jitter + 1);
    }),
  );
});

test("a handler's wish wins and is capped at a day", (t) => {
  fc.assert(
    fc.property(policies, attempts, randoms, fc.double({ noNaN: true }), (policy, attempt, random, wish) => {
      const delayMs = retryDelayMs({ ...DEFAULT_RETRY, ...policy }, attempt, random, wish);
      t.is(delayMs, Math.round(Math.min(Math.max(wish, 0), RETRY_AFTER_MAX_MS)));
    }),
  );
});

test("which failures are tried again", (t) => {
  const retry = { ...DEFAULT_RETRY, nonRetryableErrorTypes: new Set(["CardDeclined"]) };
  const failure = { reason: "HANDLER_FAILED", message: "no" };
  t.true(isRetryable(retry, failure));
  t.true(isRetryable(retry, { ...failure, errorType: "Timeout", nonRetryable: false }));
  t.false(isRetryable(retry, { ...failure, errorType: "CardDeclined" }));
  t.false(isRetryable(retry, { ...failure, nonRetryable: true }));
});
