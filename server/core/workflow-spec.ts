import type { Payload } from "./payload.js";

/**
 * A workflow as its author wrote it. Absent fields take their defaults in the plan, so that the
 * content hash of a version covers what was written and nothing else.
 */
export interface WorkflowSpec {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema (2020-12) as JSON text. */
  readonly inputSchema?: string;
  readonly tasks: readonly TaskSpec[];
  /** CEL. Default: an object from the id of each task without successor to its output. */
  readonly output?: string;
  readonly deadlineMs?: number;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A node of the graph as its author wrote it. */
export interface TaskSpec {
  readonly id: string;
  readonly handler?: string;
  readonly queue?: string;
  readonly dependsOn?: readonly string[];
  readonly input?: InputMapping;
  readonly retry?: RetrySpec;
  readonly timeouts?: TimeoutsSpec;
  readonly priority?: number;
  readonly description?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export type InputMapping =
  | { readonly kind: "expression"; readonly expression: string }
  | { readonly kind: "fields"; readonly fields: Readonly<Record<string, string>> }
  | { readonly kind: "literal"; readonly payload: Payload };

export type Backoff = "FIXED" | "LINEAR" | "EXPONENTIAL";

/** How often a task is tried and how long it waits in between. */
export interface RetrySpec {
  readonly maxAttempts?: number;
  readonly initialIntervalMs?: number;
  readonly backoff?: Backoff;
  readonly factor?: number;
  readonly maxIntervalMs?: number;
  readonly jitter?: number;
  readonly nonRetryableErrorTypes?: readonly string[];
  readonly maxCrashes?: number;
}

/** How long a task may take, by phase. Absent means no limit. */
export interface TimeoutsSpec {
  readonly queueMs?: number;
  readonly attemptMs?: number;
  readonly heartbeatMs?: number;
  readonly totalMs?: number;
}
