import type { Payload } from "../core/payload.js";
import type { ExecutionKey, TaskKey } from "./commit-store.js";
import type { Route } from "./hand-off.js";

/** Asks for up to `maxTasks` of a route, for one session. */
export interface ClaimRequest extends Route {
  readonly maxTasks: number;
  readonly sessionId: string;
  /** Tasks of a lower priority are left. */
  readonly priorityMin: number;
  /** Whether its last input may exceed the bytes that it gets. */
  readonly overdraws: boolean;
}

/** Routes of one queue: the handlers from one name to another, both included. */
export interface RouteRange {
  readonly namespaceId: number;
  readonly queue: string;
  readonly firstHandler: string;
  readonly lastHandler: string;
}

/** A route that has READY tasks, or suspects. */
export interface FoundRoute extends Route {
  readonly suspects: boolean;
  /** The highest of these tasks. */
  readonly priority: number;
}

/** A hand-out as the database has it. */
export interface HeldTask extends TaskKey {
  readonly sessionId: string;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly crashes: number;
  readonly lease: number;
  readonly queue: string;
  readonly handler: string;
  readonly attemptTimeoutMs: number | undefined;
  readonly heartbeatTimeoutMs: number | undefined;
  readonly startedAtMs: number;
  readonly totalDueAtMs: number | undefined;
}

/** A hand-out and the replica that serves its session now. */
export interface ServedTask extends HeldTask {
  readonly replicaId: string;
}

/** A claimed task with all that its delivery needs. */
export interface ClaimedTask extends HeldTask {
  /** Position of the claim request that it answers. */
  readonly ordinal: number;
  readonly priority: number;
  readonly input: Payload;
  readonly heartbeat: Payload | undefined;
  readonly workflow: string;
  readonly traceId: string;
  readonly traceFlags: number | undefined;
}

/** Names a session. */
export interface SessionKey {
  readonly namespaceId: number;
  readonly sessionId: string;
}

/** A session as it is stored. */
export interface SessionRow extends SessionKey {
  readonly replicaId: string;
  readonly workerName: string;
  readonly sdkName: string;
  readonly sdkVersion: string;
  readonly buildId: string;
  readonly handlers: readonly string[];
  readonly queues: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly slots: number;
  /** How long a polling session lasts without a call; undefined for one with a stream. */
  readonly pollTimeoutMs: number | undefined;
}

/** An open session in a list, with how many tasks it holds. */
export interface ListedSession extends Omit<SessionRow, "namespaceId" | "pollTimeoutMs"> {
  readonly draining: boolean;
  readonly connectedAtMs: number;
  readonly held: number;
}

/** A session that is this replica's now. */
export interface AdoptedSession extends SessionRow {
  /** Whether another replica served it before. */
  readonly moved: boolean;
}

/** A hand-out whose session is closed. */
export interface Orphan extends TaskKey {
  readonly attempt: number;
  readonly lease: number;
  readonly sessionId: string;
  readonly crashes: number;
}

/** A task or an execution whose time has come, and what time it was when that was seen. */
export type DueTask = TaskKey & { readonly nowMs: number };
export type DueExecution = ExecutionKey & { readonly nowMs: number };

/** Who works on what: claims, sessions, replicas and times. */
export interface LeaseStore {
  /** Which routes have READY tasks, and which have suspects. */
  findBacklog(ranges: readonly RouteRange[]): Promise<readonly FoundRoute[]>;
  /**
   * Makes READY tasks RUNNING for the sessions that ask. The inputs that one request gets have
   * `bytesMax` bytes at most, or more by the last of them if it may overdraw. A request that reached
   * this, or that may not overdraw, does not tell whether its route has more.
   */
  claimTasks(requests: readonly ClaimRequest[], bytesMax: number): Promise<readonly ClaimedTask[]>;
  /** The same for tasks whose worker vanished before. */
  claimSuspects(requests: readonly ClaimRequest[], bytesMax: number): Promise<readonly ClaimedTask[]>;
  openSession(session: SessionRow): Promise<void>;
  /** Moves an open session of a stream to this replica; false when there is none. */
  resumeSession(session: SessionRow): Promise<boolean>;
  /** Moves an open polling session to this replica as it is; undefined when there is none. */
  adoptSession(
    namespaceId: number,
    sessionId: string,
    replicaId: string,
  ): Promise<AdoptedSession | undefined>;
  /** False when the session is no longer this replica's. */
  closeSession(namespaceId: number, sessionId: string, replicaId: string): Promise<boolean>;
  setSessionDraining(namespaceId: number, sessionId: string, replicaId: string): Promise<void>;
  listSessions(namespaceId: number, afterSessionId: string, limit: number): Promise<readonly ListedSession[]>;
  readHeldTasks(sessionIds: readonly string[]): Promise<readonly ServedTask[]>;
  registerReplica(replica: { replicaId: string; address: string; version: string }): Promise<void>;
  /** Undefined when the replica was declared dead. */
  renewReplica(replicaId: string): Promise<{ nowMs: number; replicas: number } | undefined>;
  leaveReplica(replicaId: string): Promise<void>;
  /** Closes the sessions of replicas, other than this one, that have not renewed since then. */
  closeDeadSessions(replicaId: string, silentSinceMs: number): Promise<number>;
  /** Closes sessions that connected before then, of replicas that have no row. */
  closeForgottenSessions(connectedBeforeMs: number): Promise<number>;
  /** Open sessions that have been this replica's for `leaseMs`, and are not among those that it serves. */
  readUnservedSessions(
    replicaId: string,
    servedIds: readonly string[],
    times: { readonly leaseMs: number; readonly nowMs: number },
  ): Promise<readonly SessionKey[]>;
  readOrphans(limit: number): Promise<readonly Orphan[]>;
  dueTasks(limit: number): Promise<readonly DueTask[]>;
  dueExecutions(limit: number): Promise<readonly DueExecution[]>;
  /** When the next timer is due, and what time it is. */
  nextDue(): Promise<{ dueAtMs: number | undefined; nowMs: number }>;
  cancellingExecutions(
    limit: number,
  ): Promise<ReadonlyArray<ExecutionKey & { readonly reason: string; readonly dueAtMs: number | undefined }>>;
}
