import type { ExecutionContext } from "ava";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import { jsonPayload } from "../../server/core/payload.js";
import type { TaskSpec, WorkflowSpec } from "../../server/core/workflow-spec.js";
import type { ExecutionEnd, StartAnswer, StartRequest } from "../../server/engine/api.js";
import type { CommitStore } from "../../server/engine/commit-store.js";
import { RunningEngine, type EngineOptions } from "../../server/engine/engine.js";
import type { LeaseStore } from "../../server/engine/lease-store.js";
import { DEFAULT_WORKER_SETTINGS, type WorkerSettings } from "../../server/engine/worker-settings.js";
import { openStores } from "../../server/store/open-stores.js";
import { useDatabase, type TestDatabase } from "./database.js";
import { scriptedWorker, type ScriptedWorker, type WorkerOptions } from "./scripted-worker.js";
import { within } from "./until.js";

export interface TestEngineOptions extends Partial<Omit<EngineOptions, "workers" | "stores">> {
  readonly workers?: Partial<WorkerSettings>;
  /** Whether replicas notify each other. Default: true. */
  readonly notifies?: boolean;
  readonly wrapLeases?: (store: LeaseStore) => LeaseStore;
  readonly wrapCommits?: (store: CommitStore) => CommitStore;
}

export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: object;
}

/** A start and a way to wait for its end. */
export interface TestStart extends StartAnswer {
  readonly end: (deadlineMs?: number) => Promise<ExecutionEnd>;
}

/** One replica on a test's database, without a transport. */
export class TestEngine {
  readonly engine: RunningEngine;
  readonly logged: LogEntry[] = [];
  readonly #close: () => Promise<void>;
  #closing: Promise<void> | undefined;

  constructor({ config }: TestDatabase, { wrapLeases, wrapCommits, ...options }: TestEngineOptions) {
    const lanes = options.lanes ?? 2;
    const notify = options.notifies ?? true;
    const stores = openStores({ ...config, poolMax: 3 }, { lanes, notify, log: () => undefined });
    this.engine = new RunningEngine({
      stores: {
        ...stores,
        leases: wrapLeases?.(stores.leases) ?? stores.leases,
        commits: wrapCommits?.(stores.commits) ?? stores.commits,
      },
      notify: stores.notify,
      limits: DEFAULT_LIMITS,
      stateCacheBytes: 16 * 1024 * 1024,
      replicaLeaseMs: 10_000,
      version: "test",
      log: this.#log(),
      ...options,
      lanes,
      workers: { ...DEFAULT_WORKER_SETTINGS, ...options.workers },
    });
    this.#close = async () => {
      await this.engine.stop();
      await stores.close();
    };
  }

  /** Stops the replica in order; again does nothing. */
  stop(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  worker(options: WorkerOptions = {}): Promise<ScriptedWorker> {
    return scriptedWorker(options).connect(this.engine);
  }

  put(tasks: readonly TaskSpec[], more: Partial<WorkflowSpec> = {}, namespace = "default"): Promise<unknown> {
    return this.engine.workflows.put(namespace, { name: "w", tasks, ...more });
  }

  async start(request: Partial<StartRequest> = {}, namespace = "default"): Promise<TestStart> {
    let onEnd: (end: ExecutionEnd) => void = () => undefined;
    const end = new Promise<ExecutionEnd>((resolve) => (onEnd = resolve));
    const answer = await this.engine.executions.start(namespace, startRequest({ onEnd, ...request }));
    return {
      ...answer,
      end: (deadlineMs) => within(`the end of ${answer.executionId}`, end, deadlineMs),
    };
  }

  #log(): EngineOptions["log"] {
    const push = (level: LogEntry["level"]) => (fields: object, message: string) => {
      this.logged.push({ level, message, fields });
    };
    return { debug: push("debug"), info: push("info"), warn: push("warn"), error: push("error") };
  }
}

/** A start of workflow "w" that asks for nothing special. */
export function startRequest(more: Partial<StartRequest> = {}): StartRequest {
  return {
    workflow: "w",
    version: "",
    input: jsonPayload({}),
    executionId: "",
    idempotencyKey: "",
    labels: {},
    deadlineMs: undefined,
    priority: 0,
    traceparent: "",
    tracestate: "",
    ...more,
  };
}

export interface TestReplicas {
  readonly database: TestDatabase;
  /** Starts one more replica; it is stopped at the end of the test. */
  readonly open: (options?: TestEngineOptions) => Promise<TestEngine>;
}

/** A database of its own for a test, and replicas on it. */
export async function useReplicas(t: ExecutionContext): Promise<TestReplicas> {
  const database = await useDatabase(t);
  return {
    database,
    open: async (options = {}) => {
      const replica = new TestEngine(database, options);
      t.teardown(() => replica.stop());
      await replica.engine.start("test");
      return replica;
    },
  };
}

/** One replica with workflow "w" of these tasks, on a database of its own. */
export async function useEngine(
  t: ExecutionContext,
  tasks: readonly TaskSpec[] = [{ id: "a" }],
  options: TestEngineOptions = {},
): Promise<TestEngine & { readonly database: TestDatabase }> {
  const { database, open } = await useReplicas(t);
  const replica = await open(options);
  await replica.put(tasks);
  return Object.assign(replica, { database });
}

/** The rows of a statement on the test's own connection. */
export async function rowsOf<Row extends object>(
  { pool }: TestDatabase,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  return (await pool.query({ text }, values)).rows as Row[];
}

/** What must hold when all work is done, as the database has it. Answers what does not. */
export async function brokenInvariants(database: TestDatabase): Promise<string[]> {
  const rows = await rowsOf<{ broken: string }>(
    database,
    `select 'RUNNING without an open session: ' || t.task_id as broken from tasks t
      where t.status = 'RUNNING' and not exists (
        select from sessions s
         where s.namespace_id = t.namespace_id and s.session_id = t.session_id and s.closed_at is null)
     union all
     select 'more attempts than allowed: ' || task_id from tasks where attempt > max_attempts
     union all
     select 'a try that is not counted once: ' || t.task_id from tasks t
      where exists (select from attempts a where (a.namespace_id, a.execution_id, a.task_id, a.map_index)
        = (t.namespace_id, t.execution_id, t.task_id, t.map_index) and a.lease > t.lease)
     union all
     select 'not ended: ' || execution_id || ' ' || status from executions where finished_at is null
     union all
     select 'open task of an ended execution: ' || t.task_id || ' ' || t.status from tasks t
       join executions e using (namespace_id, execution_id)
      where e.finished_at is not null and t.finished_at is null`,
  );
  return rows.map(({ broken }) => broken);
}
