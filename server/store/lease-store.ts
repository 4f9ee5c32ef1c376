import type {
  AdoptedSession,
  ClaimedTask,
  ClaimRequest,
  DueExecution,
  DueTask,
  FoundRoute,
  LeaseStore,
  ListedSession,
  Orphan,
  RouteRange,
  ServedTask,
  SessionKey,
  SessionRow,
} from "../engine/lease-store.js";
import type { ExecutionKey } from "../engine/commit-store.js";
import type { NamedStatement } from "./statements.js";
import { column, numberOf, orNull } from "./columns.js";
import {
  claimedOf,
  heldOf,
  taskKeyOf,
  workerOf,
  type ClaimColumns,
  type HeldColumns,
  type SessionColumns,
  type TaskColumns,
} from "./lease-rows.js";
import type { PipelineConnection } from "./pipeline-client.js";
import type { DatabasePool } from "./pool.js";
import { toHeadraceError } from "./sql-errors.js";
import { statement } from "./statements.js";

const SQL = {
  findBacklog: statement("find_backlog"),
  claimTasks: statement("claim_tasks"),
  claimSuspects: statement("claim_suspects"),
  openSession: statement("open_session"),
  resumeSession: statement("resume_session"),
  adoptSession: statement("adopt_session"),
  closeSession: statement("close_session"),
  setSessionDraining: statement("set_session_draining"),
  readHeldTasks: statement("read_held_tasks"),
  registerReplica: statement("register_replica"),
  renewReplica: statement("renew_replica"),
  leaveReplica: statement("leave_replica"),
  closeDeadSessions: statement("close_dead_sessions"),
  closeForgottenSessions: statement("close_forgotten_sessions"),
  readUnservedSessions: statement("read_unserved_sessions"),
  readOrphans: statement("read_orphans"),
  listSessions: statement("list_sessions"),
  dueTasks: statement("due_tasks"),
  dueExecutions: statement("due_executions"),
  nextDue: statement("next_due"),
  cancellingExecutions: statement("cancelling_executions"),
};

/** Claims on a connection of their own; everything else, which is rare, through the pool. */
export class PostgresLeaseStore implements LeaseStore {
  readonly #claims: PipelineConnection;
  readonly #pool: DatabasePool;

  constructor(claims: PipelineConnection, pool: DatabasePool) {
    this.#claims = claims;
    this.#pool = pool;
  }

  async findBacklog(ranges: readonly RouteRange[]): Promise<readonly FoundRoute[]> {
    const values = [
      column(ranges, (range) => range.namespaceId),
      column(ranges, (range) => range.queue),
      column(ranges, (range) => range.firstHandler),
      column(ranges, (range) => range.lastHandler),
    ];
    type Row = { namespace_id: number; queue: string; handler: string; suspects: boolean; priority: number };
    const rows = await this.#onClaims<Row>(SQL.findBacklog, values);
    return rows.map(({ namespace_id: namespaceId, ...found }) => ({ namespaceId, ...found }));
  }

  claimTasks(requests: readonly ClaimRequest[], bytesMax: number): Promise<readonly ClaimedTask[]> {
    return this.#claim(SQL.claimTasks, requests, bytesMax);
  }

  claimSuspects(requests: readonly ClaimRequest[], bytesMax: number): Promise<readonly ClaimedTask[]> {
    return this.#claim(SQL.claimSuspects, requests, bytesMax);
  }

  async openSession(session: SessionRow): Promise<void> {
    const { namespaceId, sessionId, replicaId, workerName, sdkName, sdkVersion, buildId } = session;
    const { handlers, queues, labels, slots, pollTimeoutMs } = session;
    const worker = [
      workerName,
      sdkName,
      sdkVersion,
      buildId,
      handlers,
      queues,
      JSON.stringify(labels),
      slots,
      orNull(pollTimeoutMs),
    ];
    await this.#rows(SQL.openSession, [namespaceId, sessionId, replicaId, ...worker]);
  }

  async resumeSession(session: SessionRow): Promise<boolean> {
    const { namespaceId, sessionId, replicaId, handlers, queues, labels, slots } = session;
    const worker = [handlers, queues, JSON.stringify(labels), slots];
    return (await this.#rows(SQL.resumeSession, [namespaceId, sessionId, replicaId, ...worker])).length > 0;
  }

  async adoptSession(
    namespaceId: number,
    sessionId: string,
    replicaId: string,
  ): Promise<AdoptedSession | undefined> {
    type Row = SessionColumns & { moved: boolean; poll_timeout_ms: number | null };
    const [row] = await this.#rows<Row>(SQL.adoptSession, [namespaceId, sessionId, replicaId]);
    if (row === undefined) return undefined;
    const pollTimeoutMs = numberOf(row.poll_timeout_ms);
    return { namespaceId, pollTimeoutMs, moved: row.moved, ...workerOf(row) };
  }

  async closeSession(namespaceId: number, sessionId: string, replicaId: string): Promise<boolean> {
    return (await this.#rows(SQL.closeSession, [namespaceId, sessionId, replicaId])).length > 0;
  }

  async setSessionDraining(namespaceId: number, sessionId: string, replicaId: string): Promise<void> {
    await this.#rows(SQL.setSessionDraining, [namespaceId, sessionId, replicaId]);
  }

  async listSessions(
    namespaceId: number,
    afterSessionId: string,
    limit: number,
  ): Promise<readonly ListedSession[]> {
    type Row = SessionColumns & { draining: boolean; connected_at_ms: number; held: number };
    const rows = await this.#rows<Row>(SQL.listSessions, [namespaceId, afterSessionId, limit]);
    return rows.map((row) => ({
      ...workerOf(row),
      draining: row.draining,
      connectedAtMs: row.connected_at_ms,
      held: row.held,
    }));
  }

  async readHeldTasks(sessionIds: readonly string[]): Promise<readonly ServedTask[]> {
    type Row = HeldColumns & { replica_id: string };
    const rows = await this.#rows<Row>(SQL.readHeldTasks, [sessionIds]);
    return rows.map((row) => ({ ...heldOf(row), replicaId: row.replica_id }));
  }

  async registerReplica(replica: { replicaId: string; address: string; version: string }): Promise<void> {
    await this.#rows(SQL.registerReplica, [replica.replicaId, replica.address, replica.version]);
  }

  async renewReplica(replicaId: string): Promise<{ nowMs: number; replicas: number } | undefined> {
    const [row] = await this.#rows<{ now_ms: number; replicas: number }>(SQL.renewReplica, [replicaId]);
    return row === undefined ? undefined : { nowMs: row.now_ms, replicas: row.replicas };
  }

  async leaveReplica(replicaId: string): Promise<void> {
    await this.#rows(SQL.leaveReplica, [replicaId]);
  }

  async closeDeadSessions(replicaId: string, silentSinceMs: number): Promise<number> {
    return (await this.#rows(SQL.closeDeadSessions, [silentSinceMs, replicaId])).length;
  }

  async closeForgottenSessions(connectedBeforeMs: number): Promise<number> {
    return (await this.#rows(SQL.closeForgottenSessions, [connectedBeforeMs])).length;
  }

  async readUnservedSessions(
    replicaId: string,
    servedIds: readonly string[],
    { leaseMs, nowMs }: { readonly leaseMs: number; readonly nowMs: number },
  ): Promise<readonly SessionKey[]> {
    type Row = { namespace_id: number; session_id: string };
    const rows = await this.#rows<Row>(SQL.readUnservedSessions, [replicaId, servedIds, leaseMs, nowMs]);
    return rows.map((row) => ({ namespaceId: row.namespace_id, sessionId: row.session_id }));
  }

  async readOrphans(limit: number): Promise<readonly Orphan[]> {
    type Row = TaskColumns & { attempt: number; lease: number; session_id: string; crashes: number };
    const rows = await this.#rows<Row>(SQL.readOrphans, [limit]);
    return rows.map((row) => ({
      ...taskKeyOf(row),
      attempt: row.attempt,
      lease: row.lease,
      sessionId: row.session_id,
      crashes: row.crashes,
    }));
  }

  async dueTasks(limit: number): Promise<readonly DueTask[]> {
    const rows = await this.#rows<TaskColumns & { now_ms: number }>(SQL.dueTasks, [limit]);
    return rows.map((row) => ({ ...taskKeyOf(row), nowMs: row.now_ms }));
  }

  async dueExecutions(limit: number): Promise<readonly DueExecution[]> {
    type Row = { namespace_id: number; execution_id: string; now_ms: number };
    const rows = await this.#rows<Row>(SQL.dueExecutions, [limit]);
    return rows.map((row) => ({
      namespaceId: row.namespace_id,
      executionId: row.execution_id,
      nowMs: row.now_ms,
    }));
  }

  async nextDue(): Promise<{ dueAtMs: number | undefined; nowMs: number }> {
    const [row] = await this.#rows<{ due_at_ms: number | null; now_ms: number }>(SQL.nextDue, []);
    if (row === undefined) throw new RangeError("next_due always answers one row");
    return { dueAtMs: numberOf(row.due_at_ms), nowMs: row.now_ms };
  }

  async cancellingExecutions(
    limit: number,
  ): Promise<
    ReadonlyArray<ExecutionKey & { readonly reason: string; readonly dueAtMs: number | undefined }>
  > {
    type Row = {
      namespace_id: number;
      execution_id: string;
      cancel_reason: string | null;
      cancel_due_at_ms: number | null;
    };
    const rows = await this.#rows<Row>(SQL.cancellingExecutions, [limit]);
    return rows.map((row) => ({
      namespaceId: row.namespace_id,
      executionId: row.execution_id,
      reason: row.cancel_reason ?? "",
      dueAtMs: numberOf(row.cancel_due_at_ms),
    }));
  }

  async #claim(
    sql: NamedStatement,
    requests: readonly ClaimRequest[],
    bytesMax: number,
  ): Promise<readonly ClaimedTask[]> {
    const values = [
      column(requests, (request) => request.namespaceId),
      column(requests, (request) => request.queue),
      column(requests, (request) => request.handler),
      column(requests, (request) => request.maxTasks),
      column(requests, (request) => request.sessionId),
      bytesMax,
      column(requests, (request) => request.priorityMin),
      column(requests, (request) => request.overdraws),
    ];
    return (await this.#onClaims<ClaimColumns>(sql, values)).map(claimedOf);
  }

  async #onClaims<Row extends object>(sql: NamedStatement, values: readonly unknown[]): Promise<Row[]> {
    try {
      return (await this.#claims.run((query) => query<Row>(sql, values))).rows;
    } catch (error) {
      throw toHeadraceError(error);
    }
  }

  async #rows<Row extends object>(sql: NamedStatement, values: readonly unknown[]): Promise<Row[]> {
    try {
      const { rows } = await this.#pool.query(sql, values);
      return rows as Row[];
    } catch (error) {
      throw toHeadraceError(error);
    }
  }
}
