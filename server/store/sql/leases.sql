-- Sessions, replicas and timers: who works on what. None of these touches an execution.

-- Statements on one session find it by its key alone and judge it afterwards: a condition on what
-- sessions_open holds would let the planner read all open sessions instead.

-- name: open_session
insert into sessions (
  namespace_id, session_id, replica_id, worker_name, sdk_name, sdk_version, build_id, handlers, queues, labels, slots, poll_timeout_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: resume_session
-- Moves an open session to this replica, whoever served it. No row: it was closed.
with before as materialized (
  select x.namespace_id, x.session_id, x.closed_at, x.poll_timeout_ms
  from sessions x
  where x.namespace_id = $1 and x.session_id = $2
  for update
)
update sessions s set
  replica_id = $3, handlers = $4, queues = $5, labels = $6, slots = $7, draining = false, connected_at = clock_timestamp()
from before b
where s.namespace_id = b.namespace_id and s.session_id = b.session_id and b.closed_at is null and b.poll_timeout_ms is null
returning s.session_id;

-- name: adopt_session
-- A polling worker may reach any replica with its next call: its session moves along as it is, and
-- counts as connected here from then on.
with before as materialized (
  select x.namespace_id, x.session_id, x.replica_id, x.closed_at, x.poll_timeout_ms
  from sessions x
  where x.namespace_id = $1 and x.session_id = $2
  for update
)
update sessions s set
  replica_id = $3, connected_at = case when b.replica_id = $3 then s.connected_at else clock_timestamp() end
from before b
where s.namespace_id = b.namespace_id and s.session_id = b.session_id and b.closed_at is null and b.poll_timeout_ms is not null
returning s.namespace_id, s.session_id, s.replica_id, s.worker_name, s.sdk_name, s.sdk_version, s.build_id, s.handlers, s.queues,
  s.labels, s.slots, s.poll_timeout_ms::float8 as poll_timeout_ms, b.replica_id <> s.replica_id as moved;

-- name: close_session
-- Only by the replica that serves it; no row means that it moved or was closed.
with before as materialized (
  select x.namespace_id, x.session_id, x.replica_id, x.closed_at
  from sessions x
  where x.namespace_id = $1 and x.session_id = $2
  for update
)
update sessions s set closed_at = clock_timestamp()
from before b
where s.namespace_id = b.namespace_id and s.session_id = b.session_id and b.replica_id = $3 and b.closed_at is null
returning s.session_id;

-- name: set_session_draining
update sessions set draining = true
where namespace_id = $1 and session_id = $2 and replica_id = $3;

-- name: read_held_tasks
-- What the database says that these sessions hold, and which replica serves them now.
select (select s.replica_id from sessions s where s.namespace_id = t.namespace_id and s.session_id = t.session_id) as replica_id,
  t.session_id, t.namespace_id, t.execution_id, t.task_id, t.map_index, t.attempt, t.max_attempts, t.crashes, t.lease,
  t.queue, t.handler,
  t.attempt_timeout_ms::float8 as attempt_timeout_ms, t.heartbeat_timeout_ms::float8 as heartbeat_timeout_ms,
  extract(epoch from t.started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from t.total_due_at)::float8 * 1000 as total_due_at_ms
from unnest($1::uuid[]) as k (session_id)
cross join lateral (
  select * from tasks x where x.session_id = k.session_id and x.status = 'RUNNING'
  offset 0
) t;

-- name: register_replica
insert into replicas (replica_id, address, version) values ($1, $2, $3);

-- name: renew_replica
-- No row: another replica found this one dead and took its row away.
update replicas set renewed_at = clock_timestamp() where replica_id = $1
returning extract(epoch from clock_timestamp())::float8 * 1000 as now_ms,
  (select count(*)::int from replicas r where r.left_at is null) as replicas;

-- name: leave_replica
update replicas set left_at = clock_timestamp() where replica_id = $1;

-- name: close_dead_sessions
-- Sessions of replicas that stopped renewing, and that no worker resumed elsewhere in time. The
-- replica's row is locked, so that two sweeps do not do the same work. The time comes from the replica
-- that asks and not from here, as the statement may have waited until nobody has renewed for long.
with dead as materialized (
  select replica_id from replicas
  where renewed_at < to_timestamp($1::float8 / 1000) and replica_id <> $2
  for update skip locked
), closed as (
  update sessions s set closed_at = clock_timestamp()
  from dead d
  where s.replica_id = d.replica_id and s.closed_at is null
  returning s.namespace_id, s.session_id
), gone as (
  delete from replicas r using dead d where r.replica_id = d.replica_id
)
select namespace_id, session_id from closed;

-- name: close_forgotten_sessions
-- Sessions of replicas that have no row: opened or resumed by one that did not know yet that it was
-- declared dead, and that then ended. One that goes on has its row again within its lease.
with forgotten as materialized (
  select s.namespace_id, s.session_id, s.ctid
  from sessions s
  where s.closed_at is null
    and s.connected_at < to_timestamp($1::float8 / 1000)
    and not exists (select from replicas r where r.replica_id = s.replica_id)
  for update of s skip locked
)
update sessions s set closed_at = clock_timestamp()
from forgotten f
where s.ctid = f.ctid
returning s.namespace_id, s.session_id;

-- name: read_unserved_sessions
-- Open sessions of a replica that are not among those which it has, and that have been its own for
-- longer than its lease. A polling session has until its next call is overdue.
select s.namespace_id, s.session_id
from sessions s
where s.replica_id = $1 and s.closed_at is null and s.session_id <> all ($2::uuid[])
  and s.connected_at < to_timestamp($4::float8 / 1000) - greatest($3::float8, s.poll_timeout_ms) * interval '1 millisecond';

-- name: read_orphans
-- Tasks that are held by a session which is closed: what a process left that died between closing
-- a session and taking its attempts back. Bounded; the rest comes with the next sweep.
select t.namespace_id, t.execution_id, t.task_id, t.map_index, t.attempt, t.lease, t.session_id, t.crashes
from tasks t
where t.status = 'RUNNING'
  and not exists (
    select from sessions s
    where s.namespace_id = t.namespace_id and s.session_id = t.session_id and s.closed_at is null
  )
limit $1;

-- name: list_sessions
select s.session_id, s.worker_name, s.sdk_name, s.sdk_version, s.build_id, s.replica_id, s.handlers, s.queues, s.labels, s.slots,
  s.draining, extract(epoch from s.connected_at)::float8 * 1000 as connected_at_ms,
  (select count(*)::int from tasks t where t.session_id = s.session_id and t.status = 'RUNNING') as held
from sessions s
where s.namespace_id = $1 and s.closed_at is null and s.session_id > $2
order by s.session_id
limit $3;

-- name: due_tasks
-- The time is asked for once, in a subquery: as it stands clock_timestamp() may differ for each row, so
-- the index would be read to its end.
select namespace_id, execution_id, task_id, map_index, extract(epoch from clock_timestamp())::float8 * 1000 as now_ms
from tasks
where due_at <= (select clock_timestamp())
order by due_at
limit $1;

-- name: due_executions
select namespace_id, execution_id, extract(epoch from clock_timestamp())::float8 * 1000 as now_ms
from executions
where due_at <= (select clock_timestamp())
order by due_at
limit $1;

-- name: next_due
-- When the next timer is due, so that a server sleeps until then.
select extract(epoch from least(
    (select min(due_at) from tasks where due_at is not null),
    (select min(due_at) from executions where due_at is not null)
  ))::float8 * 1000 as due_at_ms,
  extract(epoch from clock_timestamp())::float8 * 1000 as now_ms;

-- name: cancelling_executions
-- Executions whose running attempts must be told to stop, whichever replica serves their workers.
select namespace_id, execution_id, cancel_reason, extract(epoch from cancel_due_at)::float8 * 1000 as cancel_due_at_ms
from executions
where cancel_requested_at is not null and finished_at is null
limit $1;
