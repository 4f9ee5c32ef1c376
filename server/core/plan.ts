import type { CompiledExpression } from "./expression.js";
import type { Payload } from "./payload.js";
import type { Backoff } from "./workflow-spec.js";

/** A workflow version, validated and compiled for the scheduler. Tasks are known by their index. */
export interface Plan {
  readonly workflow: string;
  /** UUID text of the content hash. */
  readonly version: string;
  readonly tasks: readonly PlanTask[];
  /** Tasks without dependencies. */
  readonly roots: readonly number[];
  /** Tasks without successors, whose outputs are the default output. */
  readonly leaves: readonly number[];
  readonly output?: CompiledExpression;
  readonly deadlineMs?: number;
  readonly inputSchema?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Index of each task by its id. */
  readonly indexOf: ReadonlyMap<string, number>;
  /** An estimate of the memory that this plan takes, for caches. */
  readonly sizeBytes: number;
}

/** A task of a plan, with every default filled in. */
export interface PlanTask {
  readonly index: number;
  readonly id: string;
  readonly handler: string;
  readonly queue: string;
  readonly priority: number;
  /** In declared order, which is the order of merging. */
  readonly dependsOn: readonly number[];
  readonly successors: readonly number[];
  /** Tasks whose outputs its input may read: its dependencies by default, otherwise what expressions name. */
  readonly reads: readonly number[];
  /** The inverse of `reads`: tasks whose inputs may read its output. */
  readonly readers: readonly number[];
  /** Whether the output of the workflow may read its output. */
  readonly readByOutput: boolean;
  readonly input: PlanInput;
  readonly retry: PlanRetry;
  readonly timeouts: PlanTimeouts;
}

/** Of two ready tasks of a route the one with the higher priority goes first. */
export function taskPriority(
  task: Pick<PlanTask, "priority">,
  execution: { readonly priority: number },
): number {
  return task.priority + execution.priority;
}

export type PlanInput =
  /** `dependencyIds` are the ids of `dependsOn`, in the same order. */
  | { readonly kind: "context"; readonly dependencyIds: readonly string[] }
  | {
      readonly kind: "expression";
      readonly expression: CompiledExpression;
      /** Index of each task that is read, by its id. */
      readonly readIndexOf: ReadonlyMap<string, number>;
    }
  | {
      readonly kind: "fields";
      readonly fields: ReadonlyArray<readonly [string, CompiledExpression]>;
      readonly readIndexOf: ReadonlyMap<string, number>;
    }
  | { readonly kind: "literal"; readonly payload: Payload };

/** All fields set: the spec with its defaults. */
export interface PlanRetry {
  readonly maxAttempts: number;
  readonly initialIntervalMs: number;
  readonly backoff: Backoff;
  readonly factor: number;
  readonly maxIntervalMs: number;
  readonly jitter: number;
  readonly nonRetryableErrorTypes: ReadonlySet<string>;
  readonly maxCrashes: number;
}

/** Absent means no limit. */
export interface PlanTimeouts {
  readonly queueMs?: number;
  readonly attemptMs?: number;
  readonly heartbeatMs?: number;
  readonly totalMs?: number;
}
