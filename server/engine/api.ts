import type { Failure } from "../core/failure.js";
import type { Outcome } from "../core/command.js";
import type { Payload } from "../core/payload.js";
import type { ExecutionStatus, TaskStatus } from "../core/status.js";
import type { WorkflowProblem } from "../core/workflow-problem.js";
import type { WorkflowSpec } from "../core/workflow-spec.js";

/**
 * What the engine offers to the transports. Every method rejects with a HeadraceError whose reason
 * is in core/errors.ts; a transport only converts. Namespaces are names here, checked by the engine.
 */
export interface Engine {
  readonly workflows: WorkflowApi;
  readonly executions: ExecutionApi;
  readonly workers: WorkerApi;
  /** Whether the database answers, so that requests make sense. */
  isReady(): boolean;
}

/** Definitions of workflows. A put is idempotent by content; a version never changes. */
export interface WorkflowApi {
  put(namespace: string, spec: WorkflowSpec): Promise<{ name: string; version: string; created: boolean }>;
  get(namespace: string, name: string, version: string): Promise<StoredWorkflow>;
  list(
    namespace: string,
    query: { namePrefix: string; pageSize: number; pageToken: string },
  ): Promise<Page<WorkflowSummary>>;
  listVersions(
    namespace: string,
    query: { name: string; pageSize: number; pageToken: string },
  ): Promise<Page<WorkflowSummary>>;
  validate(
    namespace: string,
    spec: WorkflowSpec,
  ): Promise<{ problems: readonly WorkflowProblem[]; version: string }>;
}

/** Executions of workflows. An answer to a change means that the change is committed. */
export interface ExecutionApi {
  start(namespace: string, request: StartRequest): Promise<StartAnswer>;
  get(namespace: string, executionId: string): Promise<ExecutionView>;
  list(namespace: string, query: ExecutionQuery): Promise<Page<ExecutionView>>;
  listTasks(namespace: string, query: TaskQuery): Promise<Page<TaskView>>;
  getTask(
    namespace: string,
    executionId: string,
    taskId: string,
    mapIndex: number,
  ): Promise<{ task: TaskView; attempts: readonly AttemptView[] }>;
  /** Resolves at the end of the execution, or with undefined when the time is over or the signal aborts. */
  wait(
    namespace: string,
    executionId: string,
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<ExecutionView | undefined>;
  /** The state now and each change, until the execution has ended or the signal aborts. */
  watch(
    namespace: string,
    executionId: string,
    options: { afterRevision: number; signal: AbortSignal },
  ): AsyncIterable<WatchUpdate>;
  cancel(
    namespace: string,
    executionId: string,
    options: { reason: string; graceMs: number },
  ): Promise<{ accepted: boolean; status: ExecutionStatus }>;
  explain(
    namespace: string,
    executionId: string,
    taskId: string,
  ): Promise<{ status: ExecutionStatus; reasons: readonly WaitReason[] }>;
}

/** Work for workers, by stream (`connect`) or by single calls (`poll` and `report`). */
export interface WorkerApi {
  /** Opens or resumes a session. Rejects when the hello is not acceptable. */
  connect(
    hello: HelloRequest,
    sink: SessionSink,
  ): Promise<{ session: WorkerSession; welcome: WelcomeAnswer }>;
  poll(
    request: PollRequest,
    signal: AbortSignal,
  ): Promise<{ sessionId: string; assignments: readonly Assignment[]; cancels: readonly CancelNotice[] }>;
  report(request: {
    namespace: string;
    sessionId: string;
    reports: readonly ReportEntry[];
    beats: readonly BeatEntry[];
  }): Promise<{ acks: readonly ReportAck[]; cancels: readonly CancelNotice[] }>;
  list(namespace: string, query: { pageSize: number; pageToken: string }): Promise<Page<WorkerView>>;
  /** Tells every session to go elsewhere, then closes the streams, within the time. */
  drain(graceMs: number): Promise<void>;
}

/** Where the engine puts what a worker must be told. Implemented by the transport; never throws. */
export interface SessionSink {
  /** Sends and returns the frame number that carries it. */
  assign(assignments: readonly Assignment[]): number;
  ack(acks: readonly ReportAck[]): void;
  cancel(cancels: readonly CancelNotice[]): void;
  drain(reason: string): void;
  /** Asks for an acknowledgement of the frames so far. */
  ping(): void;
  /** The engine gives the stream up. */
  close(error: Error): void;
}

/** The engine's end of one worker stream. */
export interface WorkerSession {
  readonly sessionId: string;
  grant(credit: number): void;
  /** Acks come through the sink, after the commit. */
  report(reports: readonly ReportEntry[]): void;
  beat(beats: readonly BeatEntry[]): void;
  /** Any message arrived; `frame` is the last frame that the worker has received. */
  received(frame: number): void;
  drain(): void;
  /** The stream is gone. `clean` tells a closed socket from a silent line. */
  disconnected(how: "closed" | "silent"): void;
}

/** Part of a list. The token gives the next part; empty means that this is the last. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string;
}

/** A workflow version without its tasks. */
export interface WorkflowSummary {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly taskCount: number;
  readonly createdAtMs: number;
  readonly latest: boolean;
}

/** A workflow version as it was put. */
export interface StoredWorkflow extends WorkflowSummary {
  readonly spec: WorkflowSpec;
}

/** What is needed to start an execution. */
export interface StartRequest {
  readonly workflow: string;
  /** Empty: the latest. */
  readonly version: string;
  readonly input: Payload | undefined;
  /** Empty: the engine chooses. */
  readonly executionId: string;
  readonly idempotencyKey: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly deadlineMs: number | undefined;
  readonly priority: number;
  readonly traceparent: string;
  readonly tracestate: string;
  /**
   * Called at most once, after the end was committed. Cheap: nothing is read for it when this
   * replica commits the end.
   */
  readonly onEnd?: (end: ExecutionEnd) => void;
  /** Until when `onEnd` is wanted. One signal may serve many starts. */
  readonly signal?: AbortSignal;
}

/** The started execution, or the one that an equal request started before (`created` is false). */
export interface StartAnswer {
  readonly executionId: string;
  readonly created: boolean;
  readonly version: string;
  readonly traceId: string;
}

/** How an execution ended. */
export interface ExecutionEnd {
  readonly executionId: string;
  readonly status: ExecutionStatus;
  readonly output: Payload | undefined;
  readonly failure: Failure | undefined;
}

/** An execution as clients see it. Times are those of the database. */
export interface ExecutionView {
  readonly executionId: string;
  readonly namespace: string;
  readonly workflow: string;
  readonly version: string;
  readonly status: ExecutionStatus;
  readonly revision: number;
  readonly input: Payload | undefined;
  readonly output: Payload | undefined;
  readonly failure: Failure | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly idempotencyKey: string;
  readonly traceId: string;
  readonly createdAtMs: number;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly deadlineAtMs: number | undefined;
  readonly cancelRequestedAtMs: number | undefined;
  readonly cancelReason: string;
  /** Added to the priority of each task. */
  readonly priority: number;
  /** Only from `get` and `watch`. */
  readonly taskCounts: Readonly<Partial<Record<TaskStatus, number>>>;
}

/** Which executions to list, newest first. Empty fields do not filter. */
export interface ExecutionQuery {
  readonly workflow: string;
  readonly version: string;
  readonly statuses: readonly ExecutionStatus[];
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAfterMs: number | undefined;
  readonly createdBeforeMs: number | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** Which tasks of an execution to list. No statuses means all. */
export interface TaskQuery {
  readonly executionId: string;
  readonly statuses: readonly TaskStatus[];
  readonly pageSize: number;
  readonly pageToken: string;
}

/** A task of an execution as clients see it, with its latest attempt. */
export interface TaskView {
  readonly executionId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly status: TaskStatus;
  readonly handler: string;
  readonly queue: string;
  readonly priority: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly crashes: number;
  readonly lease: number;
  readonly worker: string;
  readonly sessionId: string;
  readonly input: Payload | undefined;
  readonly output: Payload | undefined;
  readonly failure: Failure | undefined;
  readonly firstReadyAtMs: number | undefined;
  readonly readyAtMs: number | undefined;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly dueAtMs: number | undefined;
  readonly progress: ProgressValue | undefined;
}

/** How far an attempt says it has come. */
export interface ProgressValue {
  readonly done: number;
  /** 0: unknown. */
  readonly total: number;
  readonly message: string;
}

/** An attempt that another one replaced, and why. */
export interface AttemptView {
  readonly attempt: number;
  readonly lease: number;
  readonly worker: string;
  readonly readyAtMs: number | undefined;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number;
  readonly failure: Failure;
  readonly retryDelayMs: number | undefined;
}

/** An execution at a revision, with the tasks that changed since the update before. */
export interface WatchUpdate {
  readonly execution: ExecutionView;
  readonly tasks: readonly TaskView[];
}

/** Why a task is not running. */
export interface WaitReason {
  readonly taskId: string;
  readonly mapIndex: number;
  readonly status: TaskStatus;
  readonly reason: string;
  readonly message: string;
  readonly untilMs: number | undefined;
  readonly waitsFor: readonly string[];
}

/** One hand-out of a task. */
export interface AttemptRef {
  readonly executionId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly attempt: number;
  readonly lease: number;
}

/** How a worker introduces itself, and what it still holds when it resumes a session. */
export interface HelloRequest {
  readonly namespace: string;
  readonly workerName: string;
  readonly sdkName: string;
  readonly sdkVersion: string;
  readonly buildId: string;
  readonly features: readonly string[];
  readonly handlers: readonly string[];
  readonly queues: readonly string[];
  readonly credit: number;
  readonly slots: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly resume: { readonly sessionId: string; readonly held: readonly AttemptRef[] } | undefined;
}

/** The session that a worker got, and which of the attempts it holds no longer count. */
export interface WelcomeAnswer {
  readonly sessionId: string;
  readonly replicaId: string;
  readonly beatIntervalMs: number;
  readonly beatTimeoutMs: number;
  readonly deliveryTimeoutMs: number;
  readonly resumed: boolean;
  readonly stale: ReadonlyArray<{ readonly attempt: AttemptRef; readonly reason: string }>;
}

/** Everything a worker needs to run one attempt. */
export interface Assignment {
  readonly attempt: AttemptRef;
  readonly handler: string;
  readonly queue: string;
  readonly input: Payload;
  readonly workflow: string;
  readonly maxAttempts: number;
  readonly crashes: number;
  readonly deadlineAtMs: number | undefined;
  readonly heartbeatTimeoutMs: number | undefined;
  readonly heartbeatDetails: Payload | undefined;
  readonly traceparent: string;
}

/** What became of an attempt. */
export interface ReportEntry {
  readonly attempt: AttemptRef;
  readonly outcome: Outcome;
}

export type AckResult = "COMMITTED" | "DUPLICATE" | "STALE" | "REJECTED";

/** What became of a report. A worker keeps the outcome until it gets this. */
export interface ReportAck {
  readonly attempt: AttemptRef;
  readonly result: AckResult;
  readonly reason: string;
  readonly message: string;
}

/** A sign of life of one attempt. */
export interface BeatEntry {
  readonly attempt: AttemptRef;
  readonly progress: ProgressValue | undefined;
  readonly details: Payload | undefined;
}

/** An attempt that a worker should stop. */
export interface CancelNotice {
  readonly attempt: AttemptRef;
  readonly reason: string;
  readonly outcomeWanted: boolean;
  readonly deadlineAtMs: number | undefined;
}

/** A request for work by a worker that cannot hold a stream. */
export interface PollRequest {
  readonly namespace: string;
  readonly workerName: string;
  readonly sessionId: string;
  readonly handlers: readonly string[];
  readonly queues: readonly string[];
  readonly maxTasks: number;
  readonly waitMs: number;
  /** Of the session that this call opens. */
  readonly sessionTimeoutMs: number | undefined;
  /** What the worker has of this session; undefined when it does not say. */
  readonly held: readonly AttemptRef[] | undefined;
  readonly sdkName: string;
  readonly sdkVersion: string;
}

/** A connected worker as clients see it. */
export interface WorkerView {
  readonly sessionId: string;
  readonly name: string;
  readonly handlers: readonly string[];
  readonly queues: readonly string[];
  readonly sdkName: string;
  readonly sdkVersion: string;
  readonly buildId: string;
  readonly replicaId: string;
  readonly slots: number;
  readonly held: number;
  readonly draining: boolean;
  readonly connectedAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
}
