-- Reads of executions for clients, outside of commits. The worker of a task is looked up in a
-- subquery, for each row: a join that was planned on small tables reads all sessions of a namespace.

-- name: get_execution
select execution_id, workflow, version, revision, status, input, input_encoding, output, output_encoding, failure, labels,
  idempotency_key, trace_id, cancel_reason, priority,
  extract(epoch from created_at)::float8 * 1000 as created_at_ms,
  extract(epoch from started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from finished_at)::float8 * 1000 as finished_at_ms,
  extract(epoch from deadline_at)::float8 * 1000 as deadline_at_ms,
  extract(epoch from cancel_requested_at)::float8 * 1000 as cancel_requested_at_ms
from executions
where namespace_id = $1 and execution_id = $2;

-- name: count_tasks
select status, count(*)::int as tasks
from tasks
where namespace_id = $1 and execution_id = $2
group by status;

-- name: list_tasks
select t.execution_id, t.task_id, t.map_index, t.status, t.attempt, t.max_attempts, t.crashes, t.lease, t.priority, t.session_id,
  t.queue, t.handler, t.failure,
  (select s.worker_name from sessions s where s.namespace_id = t.namespace_id and s.session_id = t.session_id) as worker_name,
  extract(epoch from t.first_ready_at)::float8 * 1000 as first_ready_at_ms,
  extract(epoch from t.ready_at)::float8 * 1000 as ready_at_ms,
  extract(epoch from t.started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from t.finished_at)::float8 * 1000 as finished_at_ms,
  extract(epoch from t.due_at)::float8 * 1000 as due_at_ms
from tasks t
where t.namespace_id = $1 and t.execution_id = $2;

-- name: list_tasks_since
-- What changed after a revision, and what is out: claims do not grow the revision.
select t.execution_id, t.task_id, t.map_index, t.status, t.attempt, t.max_attempts, t.crashes, t.lease, t.priority, t.session_id,
  t.queue, t.handler, t.failure,
  (select s.worker_name from sessions s where s.namespace_id = t.namespace_id and s.session_id = t.session_id) as worker_name,
  extract(epoch from t.first_ready_at)::float8 * 1000 as first_ready_at_ms,
  extract(epoch from t.ready_at)::float8 * 1000 as ready_at_ms,
  extract(epoch from t.started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from t.finished_at)::float8 * 1000 as finished_at_ms,
  extract(epoch from t.due_at)::float8 * 1000 as due_at_ms
from tasks t
where t.namespace_id = $1 and t.execution_id = $2 and (t.revision > $3 or t.finished_at is null);

-- name: get_task
select t.execution_id, t.task_id, t.map_index, t.status, t.attempt, t.max_attempts, t.crashes, t.lease, t.priority, t.session_id,
  t.queue, t.handler, t.failure,
  (select s.worker_name from sessions s where s.namespace_id = t.namespace_id and s.session_id = t.session_id) as worker_name,
  case when t.shared_input_id is null then t.input else (select i.input from shared_inputs i
    where i.namespace_id = t.namespace_id and i.execution_id = t.execution_id and i.input_id = t.shared_input_id) end as input,
  case when t.shared_input_id is null then t.input_encoding else (select i.input_encoding from shared_inputs i
    where i.namespace_id = t.namespace_id and i.execution_id = t.execution_id and i.input_id = t.shared_input_id) end as input_encoding,
  t.output, t.output_encoding,
  extract(epoch from t.first_ready_at)::float8 * 1000 as first_ready_at_ms,
  extract(epoch from t.ready_at)::float8 * 1000 as ready_at_ms,
  extract(epoch from t.started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from t.finished_at)::float8 * 1000 as finished_at_ms,
  extract(epoch from t.due_at)::float8 * 1000 as due_at_ms
from tasks t
where t.namespace_id = $1 and t.execution_id = $2 and t.task_id = $3 and t.map_index = $4;

-- name: list_attempts
select a.attempt, a.lease, a.retry_delay_ms::float8 as retry_delay_ms, a.failure,
  (select s.worker_name from sessions s where s.namespace_id = a.namespace_id and s.session_id = a.session_id) as worker_name,
  extract(epoch from a.ready_at)::float8 * 1000 as ready_at_ms,
  extract(epoch from a.started_at)::float8 * 1000 as started_at_ms,
  extract(epoch from a.finished_at)::float8 * 1000 as finished_at_ms
from attempts a
where a.namespace_id = $1 and a.execution_id = $2 and a.task_id = $3 and a.map_index = $4
order by a.lease;

-- name: find_ended
select k.namespace_id, e.execution_id, e.status, e.output, e.output_encoding, e.failure
from unnest($1::int[], $2::uuid[]) as k (namespace_id, execution_id)
cross join lateral (
  select x.execution_id, x.status, x.output, x.output_encoding, x.failure
  from executions x
  where x.namespace_id = k.namespace_id and x.execution_id = k.execution_id and x.finished_at is not null
  offset 0
) e;
