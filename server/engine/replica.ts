import { HeadraceError } from "../core/errors.js";
import type { DatabaseClock } from "./clock.js";
import { Loop } from "./loop.js";
import type { SessionContext, Sessions } from "./sessions.js";

const ORPHANS = 1_000;

/** How this process takes part in the group of replicas. */
export interface ReplicaFacts {
  readonly replicaId: string;
  readonly version: string;
  /** A replica that has not renewed for so long is dead. */
  readonly leaseMs: number;
}

/**
 * This process's row among the replicas: renewed while it lives, the only lease that costs anything.
 * Each replica also sweeps up after those that stopped renewing.
 */
export class Replica {
  readonly #facts: ReplicaFacts;
  readonly #context: SessionContext;
  readonly #sessions: Sessions;
  readonly #clock: DatabaseClock;
  readonly #renewal: Loop;
  readonly #sweep: Loop;
  #address = "";
  #startedAtMs = 0;
  /** How many replicas are there; 1 means that nobody needs to be notified. */
  count = 1;
  #renewedAtMs = 0;

  constructor(facts: ReplicaFacts, context: SessionContext, sessions: Sessions, clock: DatabaseClock) {
    this.#facts = facts;
    this.#context = context;
    this.#sessions = sessions;
    this.#clock = clock;
    this.#renewal = new Loop("replica-renewal", context.log, () => this.#renew());
    this.#sweep = new Loop("replica-sweep", context.log, () => this.#sweepDead());
  }

  async start(address: string): Promise<void> {
    this.#address = address;
    await this.#register();
    await this.#renew();
    this.#startedAtMs = this.#clock.nowMs();
    this.#renewal.start();
    this.#sweep.start();
  }

  /** Leaves in order. Sessions stay open, so that their workers can resume on another replica. */
  async stop(): Promise<void> {
    await Promise.all([this.#renewal.stop(), this.#sweep.stop()]);
    await this.#context.store.leaveReplica(this.#facts.replicaId);
  }

  /** Somebody notified this replica, so it is not alone, although it knew of nobody when it last asked. */
  heardOther(): void {
    this.count = Math.max(this.count, 2);
  }

  /** Whether the database answered within the lease. */
  isAlive(): boolean {
    return performance.now() - this.#renewedAtMs < this.#facts.leaseMs;
  }

  async #renew(): Promise<number> {
    const askedAtMs = performance.now();
    const answer = await this.#context.store.renewReplica(this.#facts.replicaId);
    if (answer === undefined) await this.#comeBack();
    else {
      this.#renewedAtMs = performance.now();
      this.#clock.observe(answer.nowMs, askedAtMs, this.#renewedAtMs);
      this.count = answer.replicas;
    }
    return this.#facts.leaseMs / 3;
  }

  /** Others found this replica dead and gave its sessions' tasks away: it begins anew. */
  async #comeBack(): Promise<void> {
    this.#context.log.error({ ...this.#facts }, "this replica was declared dead; its workers must reconnect");
    for (const session of [...this.#sessions.all]) {
      session.close(new HeadraceError("DRAINING", "This replica lost its lease."));
      this.#sessions.remove(session);
    }
    await this.#register();
  }

  async #register(): Promise<void> {
    const { replicaId, version } = this.#facts;
    await this.#context.store.registerReplica({ replicaId, version, address: this.#address });
  }

  async #sweepDead(): Promise<number> {
    const { store, log } = this.#context;
    const { replicaId, leaseMs } = this.#facts;
    const closed =
      (await store.closeDeadSessions(replicaId, leaseMs, this.#startedAtMs)) +
      (await store.closeForgottenSessions(leaseMs));
    if (closed > 0) log.warn({ sessions: closed }, "sessions of dead replicas were closed");
    await this.#abandonUnserved();
    const orphans = await store.readOrphans(ORPHANS);
    await Promise.all(orphans.map((orphan) => this.#takeBack(orphan)));
    return orphans.length === ORPHANS ? 0 : leaseMs / 4;
  }

  /**
   * A session can be this replica's in the database and not in its memory: an answer was lost on its
   * way, or a resumption failed halfway. Unless its worker comes back nobody else would ever end it.
   */
  async #abandonUnserved(): Promise<void> {
    const { store, log } = this.#context;
    const { replicaId, leaseMs } = this.#facts;
    const served = Array.from(this.#sessions.all, ({ sessionId }) => sessionId);
    for (const key of await store.readUnservedSessions(replicaId, served, leaseMs)) {
      const closed = await this.#sessions.abandon(key);
      if (closed) log.warn({ ...key }, "a session that nobody served was closed");
    }
  }

  /** The loss is not counted: a replica died as well, so it says nothing about the task. */
  async #takeBack(
    orphan: Awaited<ReturnType<SessionContext["store"]["readOrphans"]>>[number],
  ): Promise<void> {
    const { namespaceId, executionId, taskId, mapIndex, attempt, lease } = orphan;
    const ref = { executionId, taskId, mapIndex, attempt, lease };
    await this.#context.committer.request<boolean>((reply) => ({
      kind: "lose",
      namespaceId,
      ref,
      reason: "WORKER_LOST",
      counted: false,
      heartbeat: undefined,
      reply,
    }));
  }
}
