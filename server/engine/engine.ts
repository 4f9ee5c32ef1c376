import type { Limits } from "../core/limits.js";
import type { Engine } from "./api.js";
import { CommitEffects } from "./commit-effects.js";
import { Committer, DEFAULT_COMMITTER_OPTIONS } from "./committer.js";
import { DatabaseClock } from "./clock.js";
import type { CommitStore } from "./commit-store.js";
import { DEFAULT_DISPATCHER_OPTIONS, Dispatcher } from "./dispatcher.js";
import { ExecutionReader } from "./execution-reader.js";
import type { ExecutionStore } from "./execution-store.js";
import { Executions } from "./executions.js";
import { Explainer } from "./explain.js";
import { uuidv7 } from "./ids.js";
import { LeaseAudit } from "./lease-audit.js";
import type { LeaseStore } from "./lease-store.js";
import type { Log } from "./log.js";
import { Notifier, type NotifyPort } from "./notifier.js";
import { Outages } from "./outages.js";
import { PlanCache } from "./plan-cache.js";
import { RemoteCancels } from "./remote-cancels.js";
import { Replica } from "./replica.js";
import { SessionKeeper } from "./session-keeper.js";
import { Sessions, type SessionContext } from "./sessions.js";
import { StateCache } from "./state-cache.js";
import { Timers } from "./timers.js";
import { Watch } from "./watch.js";
import type { WorkerSettings } from "./worker-settings.js";
import { Workers } from "./workers.js";
import type { WorkflowStore } from "./workflow-store.js";
import { Workflows } from "./workflows.js";

/** Everything that the engine needs from outside. */
export interface EngineOptions {
  readonly stores: {
    readonly commits: CommitStore;
    readonly leases: LeaseStore;
    readonly executions: ExecutionStore;
    readonly workflows: WorkflowStore;
  };
  readonly notify: NotifyPort;
  readonly limits: Limits;
  readonly workers: WorkerSettings;
  readonly lanes: number;
  readonly stateCacheBytes: number;
  readonly replicaLeaseMs: number;
  readonly version: string;
  readonly log: Log;
}

/** How long hints to other replicas collect. */
const NOTIFY_INTERVAL_MS = 5;

/** A running engine: the use cases, and the loops behind them. */
export class RunningEngine implements Engine {
  readonly workflows: Workflows;
  readonly executions: Executions;
  readonly workers: Workers;
  readonly replicaId: string;
  readonly #parts: Parts;
  #ready = false;

  constructor(options: EngineOptions) {
    this.#parts = assemble(options);
    const { workflows, executions, workers, replicaId } = this.#parts;
    this.workflows = workflows;
    this.executions = executions;
    this.workers = workers;
    this.replicaId = replicaId;
  }

  /** Takes part from now on. The address is for people, in the list of replicas. */
  async start(address: string): Promise<void> {
    const { replica, loops, notifier } = this.#parts;
    await replica.start(address);
    for (const loop of loops) loop.start();
    // One that was alone hears that it no longer is, and notifies from now on.
    notifier.hint("work");
    this.#ready = true;
  }

  isReady(): boolean {
    return this.#ready && this.#parts.replica.isAlive();
  }

  /** Commits what was accepted, and leaves. Workers are drained before. */
  async stop(): Promise<void> {
    const { committer, notifier, replica, loops } = this.#parts;
    this.#ready = false;
    await Promise.all(loops.map((loop) => loop.stop()));
    await committer.close();
    notifier.stop();
    await replica.stop();
  }
}

type Parts = Readonly<{
  replicaId: string;
  committer: Committer;
  notifier: Notifier;
  replica: Replica;
  workflows: Workflows;
  executions: Executions;
  workers: Workers;
  loops: ReadonlyArray<{ start(): void; stop(): Promise<void> }>;
}>;

/** Everything that commits and hands out; the rest reads, or listens to it. */
function assembleCore(options: EngineOptions) {
  const { stores, limits, log, workers: settings } = options;
  const replicaId = uuidv7();
  const clock = new DatabaseClock();
  const effects = new CommitEffects();
  const plans = new PlanCache(stores.workflows, { limits });
  const dispatcher = new Dispatcher(stores.leases, clock, log, {
    ...DEFAULT_DISPATCHER_OPTIONS,
    inputBytesMax: limits.payloadBytes,
  });
  const states = new StateCache(options.stateCacheBytes);
  const lane = { store: stores.commits, plans, states, handOff: dispatcher, effects, clock, log };
  const committer = new Committer(
    { ...lane, payloadBytesMax: limits.payloadBytes, keptOutputBytesMax: limits.keptOutputBytes },
    { ...DEFAULT_COMMITTER_OPTIONS, lanes: options.lanes },
  );
  const context: SessionContext = {
    replicaId,
    store: stores.leases,
    committer,
    dispatcher,
    clock,
    outages: new Outages(),
    settings,
    log,
  };
  const sessions = new Sessions(context);
  const facts = { replicaId, version: options.version, leaseMs: options.replicaLeaseMs };
  const replica = new Replica(facts, context, sessions, clock);
  return { replicaId, clock, effects, plans, dispatcher, committer, context, sessions, replica };
}

function assemble(options: EngineOptions): Parts {
  const { stores, limits, log } = options;
  const core = assembleCore(options);
  const { replicaId, clock, effects, plans, dispatcher, committer, context, sessions, replica } = core;
  const watch = new Watch(stores.executions, log, () => replica.count <= 1);
  const timers = new Timers(stores.leases, committer, clock, log);
  const cancels = new RemoteCancels(context, sessions);
  const notifier = new Notifier(options.notify, {
    intervalMs: NOTIFY_INTERVAL_MS,
    isNeeded: () => replica.count > 1,
    onError: (error) => log.warn({ err: error }, "other replicas could not be notified, they poll"),
  });
  sessions.onStir((key) => watch.stirred(key));
  effects.bind({ sessions, handOff: dispatcher, timers, watch, notifier });
  options.notify.onHint((hint) => {
    replica.heardOther();
    if (hint === "work") return dispatcher.rescan();
    watch.wake();
    cancels.wake();
  });
  const reader = new ExecutionReader({ store: stores.executions, plans, sessions });
  const explainer = new Explainer({ reader, plans, store: stores.leases, dispatcher });
  return {
    replicaId,
    committer,
    notifier,
    replica,
    workflows: new Workflows({ store: stores.workflows, plans, limits }),
    executions: new Executions(
      { committer, store: stores.executions, plans, watch, clock, limits, reader },
      explainer,
    ),
    workers: new Workers(context, sessions, plans, limits),
    loops: [
      dispatcher,
      new SessionKeeper(context, sessions, () => replica.confirm()),
      new LeaseAudit(context, sessions),
      timers,
      watch,
      cancels,
    ],
  };
}
