-- Handing READY tasks out. None of these touches an execution.

-- name: find_backlog
-- Which routes have READY tasks, and which have suspects, each with the highest priority of them. Asked
-- are handlers of a queue, from one name to another. From each that has some a single step in the index
-- leads to the next, so this costs what it finds, however many handlers workers serve.
with recursive asked as materialized (
  select * from unnest($1::int[], $2::text[], $3::text[], $4::text[]) as r (namespace_id, queue, first_handler, last_handler)
), ready as (
  select r.namespace_id, r.queue, r.last_handler, f.handler, f.priority
  from asked r
  cross join lateral (
    select t.handler, t.priority from tasks t
    where t.namespace_id = r.namespace_id and t.queue = r.queue
      and t.handler >= r.first_handler and t.handler <= r.last_handler and t.status = 'READY' and t.crashes = 0
    order by t.handler, t.priority desc
    limit 1
  ) f
  union all
  select r.namespace_id, r.queue, r.last_handler, f.handler, f.priority
  from ready r
  cross join lateral (
    select t.handler, t.priority from tasks t
    where t.namespace_id = r.namespace_id and t.queue = r.queue
      and t.handler > r.handler and t.handler <= r.last_handler and t.status = 'READY' and t.crashes = 0
    order by t.handler, t.priority desc
    limit 1
  ) f
), suspects as (
  select r.namespace_id, r.queue, r.last_handler, f.handler, f.priority
  from asked r
  cross join lateral (
    select t.handler, t.priority from tasks t
    where t.namespace_id = r.namespace_id and t.queue = r.queue
      and t.handler >= r.first_handler and t.handler <= r.last_handler and t.status = 'READY' and t.crashes > 0
    order by t.handler, t.priority desc
    limit 1
  ) f
  union all
  select r.namespace_id, r.queue, r.last_handler, f.handler, f.priority
  from suspects r
  cross join lateral (
    select t.handler, t.priority from tasks t
    where t.namespace_id = r.namespace_id and t.queue = r.queue
      and t.handler > r.handler and t.handler <= r.last_handler and t.status = 'READY' and t.crashes > 0
    order by t.handler, t.priority desc
    limit 1
  ) f
)
select namespace_id, queue, handler, priority, false as suspects from ready
union all
select namespace_id, queue, handler, priority, true from suspects;

-- name: claim_tasks
-- Hands READY tasks of the asked routes to sessions. Each route is asked in the order of its index,
-- so the limit stops the scan. `remaining` is not counted: a route that gave as many as it was asked
-- for may have more. Two requests of one route get different tasks, because each row is updated as it
-- is found, before the next request looks. $6 bounds the bytes of the inputs that one
-- request gets, which only some may exceed by the last input; what was locked beyond it stays READY. A request leaves tasks of a lower priority than it
-- names, because other routes of its session go before them.
with claimed as materialized (
  select r.session_id, r.ordinal, c.ctid
  from unnest($1::int[], $2::text[], $3::text[], $4::int[], $5::uuid[], $7::int[], $8::boolean[]) with ordinality
    as r (namespace_id, queue, handler, max_tasks, session_id, priority_min, overdraws, ordinal)
  cross join lateral (
    select l.ctid, l.input_bytes, sum(l.input_bytes) over (rows unbounded preceding) - l.input_bytes as bytes_before
    from (
      select t.ctid, t.input_bytes
      from tasks t
      where t.namespace_id = r.namespace_id and t.queue = r.queue and t.handler = r.handler
        and t.status = 'READY' and t.crashes = 0 and t.priority >= r.priority_min
      order by t.priority desc, t.ready_at
      limit r.max_tasks
      for update skip locked
    ) l
  ) c
  where c.bytes_before < $6 and (r.overdraws or c.bytes_before + c.input_bytes <= $6)
), started as (
  update tasks t set
    status = 'RUNNING', lease = t.lease + 1, session_id = c.session_id, started_at = clock_timestamp(), due_at = null
  from claimed c
  where t.ctid = c.ctid
  returning t.*, c.ordinal
)
select s.ordinal::int as ordinal, s.namespace_id, s.execution_id, s.task_id, s.map_index, s.attempt, s.max_attempts, s.crashes, s.lease, s.priority,
  s.session_id, s.queue, s.handler,
  case when s.shared_input_id is null then s.input else (select i.input from shared_inputs i
    where i.namespace_id = s.namespace_id and i.execution_id = s.execution_id and i.input_id = s.shared_input_id) end as input,
  case when s.shared_input_id is null then s.input_encoding else (select i.input_encoding from shared_inputs i
    where i.namespace_id = s.namespace_id and i.execution_id = s.execution_id and i.input_id = s.shared_input_id) end as input_encoding,
  s.heartbeat, s.heartbeat_encoding,
  s.attempt_timeout_ms::float8 as attempt_timeout_ms, s.heartbeat_timeout_ms::float8 as heartbeat_timeout_ms,
  extract(epoch from s.started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from s.total_due_at)::float8 * 1000 as total_due_at_ms,
  e.workflow, e.trace_id, e.parent_span_id, e.trace_flags
from started s
join executions e on e.namespace_id = s.namespace_id and e.execution_id = s.execution_id
order by s.ordinal, s.priority desc, s.ready_at;

-- name: claim_suspects
-- As claim_tasks, for tasks whose worker vanished before.
with claimed as materialized (
  select r.session_id, r.ordinal, c.ctid
  from unnest($1::int[], $2::text[], $3::text[], $4::int[], $5::uuid[], $7::int[], $8::boolean[]) with ordinality
    as r (namespace_id, queue, handler, max_tasks, session_id, priority_min, overdraws, ordinal)
  cross join lateral (
    select l.ctid, l.input_bytes, sum(l.input_bytes) over (rows unbounded preceding) - l.input_bytes as bytes_before
    from (
      select t.ctid, t.input_bytes
      from tasks t
      where t.namespace_id = r.namespace_id and t.queue = r.queue and t.handler = r.handler
        and t.status = 'READY' and t.crashes > 0 and t.priority >= r.priority_min
      order by t.priority desc, t.ready_at
      limit r.max_tasks
      for update skip locked
    ) l
  ) c
  where c.bytes_before < $6 and (r.overdraws or c.bytes_before + c.input_bytes <= $6)
), started as (
  update tasks t set
    status = 'RUNNING', lease = t.lease + 1, session_id = c.session_id, started_at = clock_timestamp(), due_at = null
  from claimed c
  where t.ctid = c.ctid
  returning t.*, c.ordinal
)
select s.ordinal::int as ordinal, s.namespace_id, s.execution_id, s.task_id, s.map_index, s.attempt, s.max_attempts, s.crashes, s.lease, s.priority,
  s.session_id, s.queue, s.handler,
  case when s.shared_input_id is null then s.input else (select i.input from shared_inputs i
    where i.namespace_id = s.namespace_id and i.execution_id = s.execution_id and i.input_id = s.shared_input_id) end as input,
  case when s.shared_input_id is null then s.input_encoding else (select i.input_encoding from shared_inputs i
    where i.namespace_id = s.namespace_id and i.execution_id = s.execution_id and i.input_id = s.shared_input_id) end as input_encoding,
  s.heartbeat, s.heartbeat_encoding,
  s.attempt_timeout_ms::float8 as attempt_timeout_ms, s.heartbeat_timeout_ms::float8 as heartbeat_timeout_ms,
  extract(epoch from s.started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from s.total_due_at)::float8 * 1000 as total_due_at_ms,
  e.workflow, e.trace_id, e.parent_span_id, e.trace_flags
from started s
join executions e on e.namespace_id = s.namespace_id and e.execution_id = s.execution_id
order by s.ordinal, s.priority desc, s.ready_at;
