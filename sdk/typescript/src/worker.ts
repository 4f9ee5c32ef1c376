import { hostname } from "node:os";

import { AttemptRunner } from "./attempt-runner.js";
import type { Connection } from "./connection.js";
import { settlesWithin } from "./deferred.js";
import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import { CancelledError, HeadraceError } from "./errors.js";
import { refuseUnknownOptions, requireLabels, requireWhole } from "./options.js";
import { WORKER_DRAINING } from "./run-attempt.js";
import { SDK_NAME, SDK_VERSION } from "./sdk-version.js";
import { onStopSignal } from "./signals.js";
import type { Handler, TaskDefinition } from "./task-options.js";
import { WorkerSession } from "./worker-session.js";

/** How a worker serves. */
export interface ServeOptions {
  /** Queues to take tasks from. Default: those that the tasks and workflows name, or "default". */
  readonly queues?: readonly string[];
  /** Handlers that run at a time. Default 100, for handlers that mostly wait; about 1 a core for computing. */
  readonly concurrency?: number;
  /** Attempts that wait in this process beyond those that run. Default 0: other workers may take them. */
  readonly prefetch?: number;
  /** For people. Default: host name and process id. */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** What is deployed, such as a commit. */
  readonly buildId?: string;
  /** How long running handlers may take to end when the worker closes. Default 25 s. */
  readonly drainTimeout?: DurationLike;
  /** Close on SIGTERM and SIGINT. Default true. */
  readonly signals?: boolean;
}

/** What a worker is made from. */
export interface WorkerSource {
  readonly connection: Connection;
  readonly namespace: string;
  readonly warn: (message: string) => void;
  readonly tasks: readonly TaskDefinition[];
  /** Queues that the tasks wait in. */
  readonly queues: readonly string[];
}

const KNOWN = ["queues", "concurrency", "prefetch", "name", "labels", "buildId", "drainTimeout", "signals"];
const SLOTS_LIMIT = 10_000;
/** How long handlers that were told to stop get to do so. */
const STOP_WITHIN_MS = 1_000;
/** How long the last outcomes may take to be acknowledged. */
const ACKNOWLEDGED_WITHIN_MS = 5_000;

/** Serves handlers until it is closed. */
export class Worker implements AsyncDisposable {
  readonly name: string;
  readonly #runner: AttemptRunner;
  readonly #session: WorkerSession;
  readonly #drainTimeoutMs: number;
  readonly #forgetSignals: () => void;
  #closing: Promise<void> | undefined;

  private constructor(source: WorkerSource, options: ServeOptions) {
    refuseUnknownOptions(options, KNOWN, "serve()");
    const concurrency = requireWhole(options.concurrency ?? 100, 1, SLOTS_LIMIT, "concurrency");
    const prefetch = requireWhole(options.prefetch ?? 0, 0, SLOTS_LIMIT - concurrency, "prefetch");
    const handlers = handlersOf(source.tasks);
    this.name = options.name ?? `${hostname()}-${process.pid}`;
    this.#drainTimeoutMs = parseDuration(options.drainTimeout ?? "25s", "drainTimeout");
    // The runner calls back only once the session has brought it attempts.
    const host = {
      payloadLimitBytes: (): number => this.#session.payloadLimitBytes,
      beat: (attempt: Parameters<WorkerSession["beat"]>[0]) => this.#session.beat(attempt),
    };
    this.#runner = new AttemptRunner({ handlers, concurrency, prefetch }, host, (attempt, outcome) =>
      this.#session.finished(attempt, outcome),
    );
    const hello = {
      namespace: source.namespace,
      workerName: this.name,
      sdkName: SDK_NAME,
      sdkVersion: SDK_VERSION,
      handlers: [...handlers.keys()],
      queues: [...(options.queues ?? source.queues)],
      labels: requireLabels(options.labels),
      buildId: options.buildId ?? "",
      slots: concurrency,
    };
    this.#session = new WorkerSession(
      { connection: source.connection, hello, warn: source.warn },
      this.#runner,
    );
    this.#forgetSignals = options.signals === false ? () => undefined : onStopSignal(() => this.close());
  }

  /** Resolves once the server has welcomed the worker. */
  static async start(source: WorkerSource, options: ServeOptions): Promise<Worker> {
    const worker = new Worker(source, options);
    try {
      await worker.#session.open();
    } catch (error) {
      worker.#forgetSignals();
      throw error;
    }
    return worker;
  }

  /**
   * Takes nothing more, lets running handlers end within the drain timeout, gives the rest back to
   * be run elsewhere without counting a try, and leaves. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#session.drain();
    if (!(await settlesWithin(this.#runner.idle(), this.#drainTimeoutMs))) {
      this.#runner.cancelRunning(new CancelledError(WORKER_DRAINING));
      await settlesWithin(this.#runner.idle(), STOP_WITHIN_MS);
      for (const attempt of this.#runner.running) this.#session.giveBack(attempt);
    }
    await this.#session.close(ACKNOWLEDGED_WITHIN_MS);
    this.#forgetSignals();
  }
}

function handlersOf(tasks: readonly TaskDefinition[]): Map<string, Handler<never, unknown>> {
  const handlers = new Map<string, Handler<never, unknown>>();
  for (const { name, handler } of tasks) {
    if (handler === undefined) continue;
    if ((handlers.get(name) ?? handler) !== handler) {
      throw new HeadraceError("INVALID_OPTION", `Two tasks with the name "${name}" have different handlers`, {
        field: "handlers",
        remedy: "Give each handler a name of its own.",
      });
    }
    handlers.set(name, handler);
  }
  if (handlers.size > 0) return handlers;
  throw new HeadraceError("INVALID_OPTION", "There is no handler to serve", {
    field: "handlers",
    remedy: "Give tasks made with task(), or workflows that use such tasks; external() ones run elsewhere.",
  });
}
