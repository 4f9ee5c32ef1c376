import type { Failure } from "../core/failure.js";
import type { HandOut } from "../core/fence.js";
import type { Payload } from "../core/payload.js";
import type { ExecutionStatus, TaskStatus } from "../core/status.js";

/** Names an execution. */
export interface ExecutionKey {
  readonly namespaceId: number;
  readonly executionId: string;
}

/** Names an execution in maps: the same id may be used in several namespaces. */
export function executionKeyText({ namespaceId, executionId }: ExecutionKey): string {
  return `${namespaceId}/${executionId}`;
}

/** Names a task instance. */
export interface TaskKey extends ExecutionKey {
  readonly taskId: string;
  readonly mapIndex: number;
}

/** Where a locked row stands. Valid within the transaction that locked it. */
export type RowLocation = string & { readonly rowLocation?: never };

/** What a lane locks before it decides. Lists are in the order in which they are locked. */
export interface LockRequest {
  readonly executions: readonly ExecutionKey[];
  readonly tasks: readonly TaskKey[];
  /** Executions of which every open task is locked. */
  readonly openTasksOf: readonly ExecutionKey[];
  /** Starts that may be repeats: looked up by id and by idempotency key. */
  readonly starts: ReadonlyArray<ExecutionKey & { readonly idempotencyKey: string | undefined }>;
}

/** A locked execution: where it stands, and how far it has come. */
export interface LockedExecution {
  readonly location: RowLocation;
  readonly revision: number;
}

/** A locked task row with its hand-out. */
export interface LockedTask extends HandOut {
  readonly location: RowLocation;
}

/** A locked task row that was found by its execution. */
export interface LockedOpenTask extends LockedTask {
  readonly taskId: string;
  readonly mapIndex: number;
}

/** An execution that exists already when it is started. */
export interface FoundStart {
  readonly executionId: string;
  readonly workflow: string;
  readonly version: string;
  readonly input: Payload;
  readonly traceId: string;
  readonly idempotencyKey: string | undefined;
}

/** By position of the request; undefined where there is no such row. */
export interface LockedRows {
  readonly executions: ReadonlyArray<LockedExecution | undefined>;
  readonly tasks: ReadonlyArray<LockedTask | undefined>;
  readonly openTasks: ReadonlyArray<readonly LockedOpenTask[]>;
  readonly starts: ReadonlyArray<readonly FoundStart[]>;
}

/** An execution as it is stored, for a lane that does not have its state. */
export interface ExecutionRow {
  readonly workflow: string;
  readonly version: string;
  readonly revision: number;
  readonly status: ExecutionStatus;
  readonly priority: number;
  readonly traceId: string;
  readonly traceFlags: number | undefined;
  readonly input: Payload;
  readonly output: Payload | undefined;
  readonly failure: Failure | undefined;
  readonly createdAtMs: number;
  readonly deadlineAtMs: number | undefined;
  readonly cancelRequestedAtMs: number | undefined;
  readonly cancelDueAtMs: number | undefined;
  readonly cancelReason: string | undefined;
  readonly finishedAtMs: number | undefined;
}

/** A task as it is stored, for a lane that does not have its state. */
export interface TaskRow {
  readonly taskId: string;
  readonly mapIndex: number;
  readonly status: TaskStatus;
  readonly attempt: number;
  readonly crashes: number;
  readonly firstReadyAtMs: number | undefined;
  readonly readyAtMs: number | undefined;
  readonly dueAtMs: number | undefined;
  readonly hasOutput: boolean;
  /** Undefined also for a large one, which `readOutputs` reads. */
  readonly output: Payload | undefined;
  readonly failure: Failure | undefined;
}

/** Reads within the lane's transaction. */
export interface StateReader {
  readExecution(key: ExecutionKey): Promise<ExecutionRow>;
  readTasksSince(key: ExecutionKey, revision: number): Promise<readonly TaskRow[]>;
  /** By position, the outputs of these tasks without map index. */
  readOutputs(key: ExecutionKey, taskIds: readonly string[]): Promise<ReadonlyArray<Payload | undefined>>;
}

/** A new execution. */
export interface ExecutionInsert extends ExecutionKey {
  readonly workflow: string;
  readonly version: string;
  readonly revision: number;
  readonly status: ExecutionStatus;
  readonly priority: number;
  readonly traceId: string;
  readonly parentSpanId: Uint8Array | undefined;
  readonly traceFlags: number | undefined;
  readonly tracestate: string | undefined;
  readonly createdAtMs: number;
  readonly finishedAtMs: number | undefined;
  readonly deadlineAtMs: number | undefined;
  readonly dueAtMs: number | undefined;
  readonly input: Payload;
  readonly output: Payload | undefined;
  readonly failure: Failure | undefined;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly idempotencyKey: string | undefined;
}

/** New values of an execution; columns that never change are left out. */
export interface ExecutionUpdate {
  readonly location: RowLocation;
  readonly revision: number;
  readonly status: ExecutionStatus;
  readonly finishedAtMs: number | undefined;
  readonly cancelRequestedAtMs: number | undefined;
  readonly cancelDueAtMs: number | undefined;
  readonly cancelReason: string | undefined;
  readonly dueAtMs: number | undefined;
  readonly output: Payload | undefined;
  readonly failure: Failure | undefined;
}

/** The first row of a task, with its first hand-out if it has one. */
export interface TaskInsert extends TaskKey {
  readonly status: TaskStatus;
  readonly revision: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly lease: number;
  readonly priority: number;
  readonly sessionId: string | undefined;
  readonly readyAtMs: number | undefined;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly dueAtMs: number | undefined;
  readonly totalDueAtMs: number | undefined;
  readonly attemptTimeoutMs: number | undefined;
  readonly heartbeatTimeoutMs: number | undefined;
  readonly queue: string;
  readonly handler: string;
  readonly input: Payload | undefined;
  /** Names the row of `sharedInputs` that has the input instead of this one. */
  readonly sharedInputId: number | undefined;
  readonly failure: Failure | undefined;
}

/** A large input that several new tasks of an execution have in common. */
export interface SharedInput extends ExecutionKey {
  readonly inputId: number;
  readonly input: Payload;
}

/** The usual end of a task. */
export interface TaskCompletion {
  readonly location: RowLocation;
  readonly revision: number;
  readonly finishedAtMs: number;
  readonly output: Payload | undefined;
}

/** Any other change of a task that has a row. */
export interface TaskUpdate {
  readonly location: RowLocation;
  readonly status: TaskStatus;
  readonly revision: number;
  readonly attempt: number;
  readonly crashes: number;
  /** Added to the lease number. */
  readonly leaseStep: 0 | 1;
  readonly readyAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly dueAtMs: number | undefined;
  readonly failure: Failure | undefined;
  /** Details of the last beat, for the next attempt. */
  readonly heartbeat: Payload | undefined;
}

/** A superseded attempt, kept from what its task row says before the update. */
export interface AttemptInsert {
  readonly location: RowLocation;
  readonly finishedAtMs: number;
  readonly retryDelayMs: number | undefined;
  readonly failure: Failure;
}

/** All that one transaction writes. */
export interface Writes {
  readonly executionInserts: ExecutionInsert[];
  readonly executionUpdates: ExecutionUpdate[];
  /** Only the revision grows. */
  readonly executionTouches: Array<{ readonly location: RowLocation; readonly revision: number }>;
  readonly taskInserts: TaskInsert[];
  readonly sharedInputs: SharedInput[];
  readonly taskCompletions: TaskCompletion[];
  readonly taskUpdates: TaskUpdate[];
  readonly attemptInserts: AttemptInsert[];
}

/** Where lanes commit. */
export interface CommitStore {
  /**
   * One transaction: locks, lets `decide` answer what to write, writes and commits. Resolves when
   * the commit is acknowledged. Rejects with CommitError otherwise; `decide` may then have been
   * called, and its effects must not happen.
   */
  transact(
    lane: number,
    locks: LockRequest,
    decide: (rows: LockedRows, reader: StateReader) => Promise<Writes> | Writes,
  ): Promise<void>;
}

/**
 * What to do about a transaction that failed: "retry" it as a whole; "conflict": a start exists
 * already, look it up and retry; "unknown": the connection broke after COMMIT was sent, so it may
 * stand, retry after reading; "refused": it can never succeed as it is.
 */
export type CommitVerdict = "retry" | "conflict" | "unknown" | "refused";

/** A transaction that was not, or may not have been, committed. */
export class CommitError extends Error {
  readonly verdict: CommitVerdict;
  constructor(verdict: CommitVerdict, cause: unknown) {
    super(`The transaction failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = "CommitError";
    this.verdict = verdict;
  }
}
