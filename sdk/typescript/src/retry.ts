import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import { HeadraceError } from "./errors.js";
import type { RetryPolicy } from "./gen/headrace/v1/workflow_pb.js";
import { Backoff, RetryPolicySchema } from "./gen/headrace/v1/workflow_pb.js";
import { refuseUnknownOptions } from "./options.js";

/** What happens after a failed attempt. What is left out takes the server's default. */
export interface RetryOptions {
  /** Total, the first included. Default 3; 1 means no retry. */
  readonly maxAttempts?: number;
  /** Delay after the first failure. Default 1 s. */
  readonly initialInterval?: DurationLike;
  /** Default EXPONENTIAL. */
  readonly backoff?: "FIXED" | "LINEAR" | "EXPONENTIAL";
  /** Of EXPONENTIAL. Default 2. */
  readonly factor?: number;
  /** No delay is longer, jitter included. Default 60 s. */
  readonly maxInterval?: DurationLike;
  /** A delay d becomes a random one in d*(1-jitter) .. d*(1+jitter). Default 0.25. */
  readonly jitter?: number;
  /** A failure with one of these error types is final. */
  readonly nonRetryableErrorTypes?: readonly string[];
  /** How often the worker may vanish while holding the task. Default 3. */
  readonly maxCrashes?: number;
}

const KNOWN = [
  "maxAttempts",
  "initialInterval",
  "backoff",
  "factor",
  "maxInterval",
  "jitter",
  "nonRetryableErrorTypes",
  "maxCrashes",
];

/** The policy as the contract writes it. Throws INVALID_OPTION; the server checks the ranges. */
export function retryPolicy(options: RetryOptions): RetryPolicy {
  refuseUnknownOptions(options, KNOWN, "retry");
  const policy = create(RetryPolicySchema);
  if (options.maxAttempts !== undefined) policy.maxAttempts = options.maxAttempts;
  if (options.maxCrashes !== undefined) policy.maxCrashes = options.maxCrashes;
  if (options.factor !== undefined) policy.factor = options.factor;
  if (options.jitter !== undefined) policy.jitter = options.jitter;
  if (options.backoff !== undefined) policy.backoff = backoffOf(options.backoff);
  if (options.initialInterval !== undefined) {
    policy.initialInterval = durationFromMs(parseDuration(options.initialInterval, "retry.initialInterval"));
  }
  if (options.maxInterval !== undefined) {
    policy.maxInterval = durationFromMs(parseDuration(options.maxInterval, "retry.maxInterval"));
  }
  policy.nonRetryableErrorTypes.push(...(options.nonRetryableErrorTypes ?? []));
  return policy;
}

function backoffOf(name: string): Backoff {
  if (name === "FIXED" || name === "LINEAR" || name === "EXPONENTIAL") return Backoff[name];
  throw new HeadraceError("INVALID_OPTION", `retry.backoff is ${JSON.stringify(name)}`, {
    field: "retry.backoff",
    actual: name,
    remedy: "Use FIXED, LINEAR or EXPONENTIAL.",
  });
}
