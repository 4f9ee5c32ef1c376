import type {
  BeatEntry,
  Engine,
  ExecutionApi,
  ExecutionView,
  HelloRequest,
  ReportEntry,
  SessionSink,
  TaskView,
  WelcomeAnswer,
  WorkerApi,
  WorkerSession,
  WorkflowApi,
} from "../../server/engine/api.js";
import { EventLog } from "./event-log.js";

/** What a transport told a session. */
export type SessionEvent =
  | { readonly kind: "grant"; readonly credit: number }
  | { readonly kind: "report"; readonly reports: readonly ReportEntry[] }
  | { readonly kind: "beat"; readonly beats: readonly BeatEntry[] }
  | { readonly kind: "received"; readonly frame: number }
  | { readonly kind: "drain" }
  | { readonly kind: "disconnected"; readonly how: "closed" | "silent" };

/** A session whose engine side a test plays, through the sink. */
export class ScriptedSession implements WorkerSession {
  readonly sessionId = "018f0000-0000-7000-8000-000000000001";
  readonly events = new EventLog<SessionEvent>();
  readonly hello: HelloRequest;
  readonly sink: SessionSink;

  constructor(hello: HelloRequest, sink: SessionSink) {
    this.hello = hello;
    this.sink = sink;
  }

  grant(credit: number): void {
    this.events.push({ kind: "grant", credit });
  }

  report(reports: readonly ReportEntry[]): void {
    this.events.push({ kind: "report", reports });
  }

  beat(beats: readonly BeatEntry[]): void {
    this.events.push({ kind: "beat", beats });
  }

  received(frame: number): void {
    this.events.push({ kind: "received", frame });
  }

  drain(): void {
    this.events.push({ kind: "drain" });
  }

  disconnected(how: "closed" | "silent"): void {
    this.events.push({ kind: "disconnected", how });
  }
}

type Scripted<T> = { -readonly [Name in keyof T]: T[Name] };

/** An engine whose answers a test writes: each method rejects until it is replaced. */
export class ScriptedEngine implements Engine {
  ready = true;
  readonly sessions = new EventLog<ScriptedSession>();
  welcome: Omit<WelcomeAnswer, "sessionId"> = {
    replicaId: "replica-1",
    beatIntervalMs: 5_000,
    beatTimeoutMs: 15_000,
    deliveryTimeoutMs: 5_000,
    resumed: false,
    stale: [],
  };

  readonly workflows: Scripted<WorkflowApi> = {
    put: notScripted("workflows.put"),
    get: notScripted("workflows.get"),
    list: notScripted("workflows.list"),
    listVersions: notScripted("workflows.listVersions"),
    validate: async () => ({ problems: [], version: "" }),
  };

  readonly executions: Scripted<ExecutionApi> = {
    start: notScripted("executions.start"),
    get: notScripted("executions.get"),
    list: notScripted("executions.list"),
    listTasks: notScripted("executions.listTasks"),
    getTask: notScripted("executions.getTask"),
    wait: notScripted("executions.wait"),
    watch: () => {
      throw new Error("executions.watch is not scripted");
    },
    cancel: notScripted("executions.cancel"),
    explain: notScripted("executions.explain"),
  };

  readonly workers: Scripted<WorkerApi> = {
    connect: async (hello, sink) => {
      const session = new ScriptedSession(hello, sink);
      this.sessions.push(session);
      return { session, welcome: { ...this.welcome, sessionId: session.sessionId } };
    },
    poll: notScripted("workers.poll"),
    report: notScripted("workers.report"),
    list: notScripted("workers.list"),
    drain: async () => undefined,
  };

  isReady(): boolean {
    return this.ready;
  }
}

function notScripted(name: string): () => Promise<never> {
  return () => Promise.reject(new Error(`${name} is not scripted`));
}

export const EXECUTION_ID = "018f0000-0000-7000-8000-0000000000aa";

/** An execution as the engine shows it. */
export function executionView(changes: Partial<ExecutionView> = {}): ExecutionView {
  return {
    executionId: EXECUTION_ID,
    namespace: "default",
    workflow: "order",
    version: "0123456789abcdef0123456789abcdef",
    status: "RUNNING",
    revision: 3,
    input: { data: Buffer.from('{"a":1}'), encoding: "json" },
    output: undefined,
    failure: undefined,
    labels: { team: "blue" },
    idempotencyKey: "key-1",
    priority: 7,
    traceId: "0123456789abcdef0123456789abcdef",
    createdAtMs: 1_700_000_000_123.5,
    startedAtMs: 1_700_000_000_200,
    finishedAtMs: undefined,
    deadlineAtMs: undefined,
    cancelRequestedAtMs: undefined,
    cancelReason: "",
    taskCounts: { RUNNING: 1, COMPLETED: 2 },
    ...changes,
  };
}

/** A task as the engine shows it. */
export function taskView(changes: Partial<TaskView> = {}): TaskView {
  return {
    executionId: EXECUTION_ID,
    taskId: "charge",
    mapIndex: -1,
    status: "RUNNING",
    handler: "charge",
    queue: "default",
    priority: 0,
    attempt: 2,
    maxAttempts: 3,
    crashes: 1,
    lease: 7,
    worker: "w1",
    sessionId: "018f0000-0000-7000-8000-000000000001",
    input: { data: Buffer.from("1"), encoding: "json" },
    output: undefined,
    failure: undefined,
    firstReadyAtMs: 1_700_000_000_000,
    readyAtMs: 1_700_000_000_000,
    startedAtMs: 1_700_000_000_001,
    finishedAtMs: undefined,
    dueAtMs: undefined,
    progress: { done: 1, total: 4, message: "quarter" },
    ...changes,
  };
}
