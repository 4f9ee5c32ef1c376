import { HeadraceError } from "../core/errors.js";
import type { DatabaseClock } from "./clock.js";
import { refOf } from "./held-attempt.js";
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
  /** How many replicas are there; 1 means that nobody needs to be notified. */
  count = 1;
  /** When the last renewal was answered, by the monotonic clock. */
  #renewedAtMs = -Infinity;
  /** When the database last renewed this replica, and since when without a gap; both in its time. */
  #lastRenewalMs = -Infinity;
  #steadySinceMs = Infinity;
  #renewing: Promise<void> | undefined;

  constructor(facts: ReplicaFacts, context: SessionContext, sessions: Sessions, clock: DatabaseClock) {
    this.#facts = facts;
    this.#context = context;
    this.#sessions = sessions;
    this.#clock = clock;
    this.#renewal = new Loop("replica-renewal", context.log, async () => {
      await this.confirm();
      return facts.leaseMs / 3;
    });
    this.#sweep = new Loop("replica-sweep", context.log, () => this.#sweepDead());
  }

  async start(address: string): Promise<void> {
    this.#address = address;
    await this.#register();
    await this.confirm();
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
    return this.#isRenewedWithin(this.#facts.leaseMs);
  }

  #isRenewedWithin(ms: number): boolean {
    return performance.now() - this.#renewedAtMs < ms;
  }

  /** Resolves when the database has renewed this replica just now; rejects when it does not answer. */
  confirm(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const { store, outages } = this.#context;
    const askedAtMs = performance.now();
    const answer = await outages.watch(store.renewReplica(this.#facts.replicaId));
    if (answer === undefined) await this.#comeBack();
    else {
      this.#renewedAtMs = performance.now();
      this.#clock.observe(answer.nowMs, askedAtMs, this.#renewedAtMs);
      this.#noteRenewal(answer.nowMs);
      this.count = answer.replicas;
    }
  }

  /**
   * A gap tells that the database was away, or that its clock was set. Half a lease of it is enough
   * to make others, which renew three times in a lease, look as if theirs was over.
   */
  #noteRenewal(nowMs: number): void {
    const gapMs = nowMs - this.#lastRenewalMs;
    if (gapMs < 0 || gapMs > this.#facts.leaseMs / 2) this.#steadySinceMs = nowMs;
    this.#lastRenewalMs = nowMs;
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

  /**
   * Others count as dead when they were silent for a lease in which this replica renewed without a
   * gap: before, neither they nor their workers could do anything.
   */
  async #sweepDead(): Promise<number> {
    const { leaseMs } = this.#facts;
    // One that cannot renew itself is no judge of others.
    if (!this.#isRenewedWithin(leaseMs / 2)) return leaseMs / 4;
    // At most the database's time, however long the renewal took, so nobody is judged too early.
    const nowMs = this.#lastRenewalMs + performance.now() - this.#renewedAtMs;
    if (nowMs - leaseMs >= this.#steadySinceMs) {
      await this.#closeDead(nowMs - leaseMs);
      await this.#abandonUnserved(nowMs);
    }
    const orphans = await this.#context.store.readOrphans(ORPHANS);
    await Promise.all(orphans.map((orphan) => this.#takeBack(orphan)));
    return orphans.length === ORPHANS ? 0 : leaseMs / 4;
  }

  async #closeDead(silentSinceMs: number): Promise<void> {
    const { store, log } = this.#context;
    const dead = await store.closeDeadSessions(this.#facts.replicaId, silentSinceMs);
    const forgotten = await store.closeForgottenSessions(silentSinceMs);
    if (dead + forgotten > 0)
      log.warn({ sessions: dead + forgotten }, "sessions of dead replicas were closed");
  }

  /**
   * A session can be this replica's in the database and not in its memory: an answer was lost on its
   * way, or a resumption failed halfway. Unless its worker comes back nobody else would ever end it.
   */
  async #abandonUnserved(nowMs: number): Promise<void> {
    const { store, log } = this.#context;
    const { replicaId, leaseMs } = this.#facts;
    const served = Array.from(this.#sessions.all, ({ sessionId }) => sessionId);
    for (const key of await store.readUnservedSessions(replicaId, served, { leaseMs, nowMs })) {
      const closed = await this.#sessions.abandon(key);
      if (closed) log.warn({ ...key }, "a session that nobody served was closed");
    }
  }

  /** The loss is not counted: a replica died as well, so it says nothing about the task. */
  async #takeBack(
    orphan: Awaited<ReturnType<SessionContext["store"]["readOrphans"]>>[number],
  ): Promise<void> {
    const { namespaceId } = orphan;
    const ref = refOf(orphan);
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
