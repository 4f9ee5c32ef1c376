-- The statements of a lane's transaction. Each takes a whole batch as arrays, so that their number
-- does not depend on how much is committed.
--
-- Plans must not depend on statistics, because the tables grow while prepared statements keep their
-- plan. So rows are found by full primary key in a lateral subquery that locks them (a locked
-- subquery cannot be reordered) and are afterwards addressed by ctid, which stays valid for as long
-- as the lock is held. Keys come sorted, so that two lanes never wait for each other in a circle.

-- name: lock_executions
select k.ordinal::int as ordinal, e.ctid::text as ctid, e.revision
from unnest($1::int[], $2::uuid[]) with ordinality as k (namespace_id, execution_id, ordinal)
cross join lateral (
  select x.ctid, x.revision
  from executions x
  where x.namespace_id = k.namespace_id and x.execution_id = k.execution_id
  for update
) e;

-- name: lock_tasks
-- Locks the rows too, because a claim takes READY rows without a lock on the execution.
select k.ordinal::int as ordinal, t.ctid::text as ctid, t.status, t.attempt, t.lease, t.session_id
from unnest($1::int[], $2::uuid[], $3::text[], $4::int[]) with ordinality
  as k (namespace_id, execution_id, task_id, map_index, ordinal)
cross join lateral (
  select x.ctid, x.status, x.attempt, x.lease, x.session_id
  from tasks x
  where x.namespace_id = k.namespace_id and x.execution_id = k.execution_id
    and x.task_id = k.task_id and x.map_index = k.map_index
  for update
) t;

-- name: lock_open_tasks
-- Every task of these executions that is not terminal: what a cancellation or a deadline ends.
select k.ordinal::int as ordinal, t.task_id, t.map_index, t.ctid::text as ctid, t.status, t.attempt, t.lease, t.session_id
from unnest($1::int[], $2::uuid[]) with ordinality as k (namespace_id, execution_id, ordinal)
cross join lateral (
  select x.task_id, x.map_index, x.ctid, x.status, x.attempt, x.lease, x.session_id
  from tasks x
  where x.namespace_id = k.namespace_id and x.execution_id = k.execution_id and x.finished_at is null
  for update
) t;

-- name: read_execution
select workflow, version, revision, status, priority, trace_id, trace_flags, input, input_encoding, output, output_encoding, failure,
  extract(epoch from created_at)::float8 * 1000 as created_at_ms,
  extract(epoch from deadline_at)::float8 * 1000 as deadline_at_ms,
  extract(epoch from cancel_requested_at)::float8 * 1000 as cancel_requested_at_ms,
  extract(epoch from cancel_due_at)::float8 * 1000 as cancel_due_at_ms,
  extract(epoch from finished_at)::float8 * 1000 as finished_at_ms,
  cancel_reason
from executions
where namespace_id = $1 and execution_id = $2;

-- name: read_tasks_since
-- The rows that changed after a revision; 0 reads all. Large outputs are left out, since few of them are
-- still to be read by other tasks.
select task_id, map_index, status, attempt, crashes, failure, output is not null as has_output,
  case when octet_length(output) <= 1024 then output end as output, output_encoding,
  extract(epoch from first_ready_at)::float8 * 1000 as first_ready_at_ms,
  extract(epoch from ready_at)::float8 * 1000 as ready_at_ms,
  extract(epoch from due_at)::float8 * 1000 as due_at_ms
from tasks
where namespace_id = $1 and execution_id = $2 and revision > $3;

-- name: read_outputs
select k.ordinal::int as ordinal, t.output, t.output_encoding
from unnest($3::text[]) with ordinality as k (task_id, ordinal)
cross join lateral (
  select x.output, x.output_encoding
  from tasks x
  where x.namespace_id = $1 and x.execution_id = $2 and x.task_id = k.task_id and x.map_index = -1
  offset 0
) t;

-- name: find_starts
-- Which of these executions exist already, by id or by idempotency key.
select k.ordinal::int as ordinal, e.execution_id, e.workflow, e.version, e.input, e.input_encoding, e.trace_id, e.idempotency_key
from unnest($1::int[], $2::uuid[], $3::text[]) with ordinality as k (namespace_id, execution_id, idempotency_key, ordinal)
cross join lateral (
  select x.execution_id, x.workflow, x.version, x.input, x.input_encoding, x.trace_id, x.idempotency_key
  from executions x
  where x.namespace_id = k.namespace_id and x.execution_id = k.execution_id
  union all
  select x.execution_id, x.workflow, x.version, x.input, x.input_encoding, x.trace_id, x.idempotency_key
  from executions x
  where x.namespace_id = k.namespace_id and x.idempotency_key = k.idempotency_key and x.execution_id <> k.execution_id
) e;

-- name: insert_executions
insert into executions (
  namespace_id, execution_id, workflow, version, revision, status, priority, trace_id, parent_span_id, trace_flags, tracestate,
  created_at, started_at, finished_at, deadline_at, due_at, input, input_encoding, output, output_encoding, failure,
  labels, idempotency_key)
select
  namespace_id, execution_id, workflow, version, revision, status, priority, trace_id, parent_span_id, trace_flags, tracestate,
  to_timestamp(created_at_ms / 1000), to_timestamp(created_at_ms / 1000), to_timestamp(finished_at_ms / 1000),
  to_timestamp(deadline_at_ms / 1000), to_timestamp(due_at_ms / 1000),
  input, input_encoding, output, output_encoding, failure, labels, idempotency_key
from unnest(
  $1::int[], $2::uuid[], $3::text[], $4::uuid[], $5::int[], $6::execution_status[], $7::smallint[], $8::uuid[], $9::bytea[],
  $10::smallint[], $11::text[], $12::float8[], $13::float8[], $14::float8[], $15::float8[], $16::bytea[], $17::text[], $18::bytea[],
  $19::text[], $20::bytea[], $21::jsonb[], $22::text[])
  as s (namespace_id, execution_id, workflow, version, revision, status, priority, trace_id, parent_span_id, trace_flags,
    tracestate, created_at_ms, finished_at_ms, deadline_at_ms, due_at_ms, input, input_encoding, output, output_encoding, failure,
    labels, idempotency_key);

-- name: update_executions
update executions e set
  revision = c.revision,
  status = c.status,
  finished_at = to_timestamp(c.finished_at_ms / 1000),
  cancel_requested_at = to_timestamp(c.cancel_requested_at_ms / 1000),
  cancel_due_at = to_timestamp(c.cancel_due_at_ms / 1000),
  due_at = to_timestamp(c.due_at_ms / 1000),
  output = c.output,
  output_encoding = c.output_encoding,
  failure = c.failure,
  cancel_reason = c.cancel_reason
from unnest(
  $1::tid[], $2::int[], $3::execution_status[], $4::float8[], $5::float8[], $6::float8[], $7::float8[], $8::bytea[], $9::text[],
  $10::bytea[], $11::text[])
  as c (ctid, revision, status, finished_at_ms, cancel_requested_at_ms, cancel_due_at_ms, due_at_ms, output, output_encoding,
    failure, cancel_reason)
where e.ctid = c.ctid;

-- name: touch_executions
-- Tasks changed and the execution did not, but for its revision. Kept apart because it writes no
-- column of any index, so the row stays where its index entries point.
update executions e set revision = c.revision
from unnest($1::tid[], $2::int[]) as c (ctid, revision)
where e.ctid = c.ctid;

-- name: insert_tasks
insert into tasks (
  namespace_id, execution_id, task_id, map_index, status, revision, attempt, max_attempts, crashes, lease, priority, session_id,
  first_ready_at, ready_at, started_at, finished_at, due_at, total_due_at, attempt_timeout_ms, heartbeat_timeout_ms,
  queue, handler, input, input_encoding, input_bytes, shared_input_id, failure)
select
  namespace_id, execution_id, task_id, map_index, status, revision, attempt, max_attempts, 0, lease, priority, session_id,
  to_timestamp(ready_at_ms / 1000), to_timestamp(ready_at_ms / 1000), to_timestamp(started_at_ms / 1000),
  to_timestamp(finished_at_ms / 1000), to_timestamp(due_at_ms / 1000), to_timestamp(total_due_at_ms / 1000),
  attempt_timeout_ms, heartbeat_timeout_ms, queue, handler, input, input_encoding, input_bytes, shared_input_id, failure
from unnest(
  $1::int[], $2::uuid[], $3::text[], $4::int[], $5::task_status[], $6::int[], $7::smallint[], $8::smallint[], $9::int[],
  $10::smallint[], $11::uuid[], $12::float8[], $13::float8[], $14::float8[], $15::float8[], $16::float8[], $17::bigint[],
  $18::bigint[], $19::text[], $20::text[], $21::bytea[], $22::text[], $23::int[], $24::int[], $25::bytea[])
  as s (namespace_id, execution_id, task_id, map_index, status, revision, attempt, max_attempts, lease, priority, session_id,
    ready_at_ms, started_at_ms, finished_at_ms, due_at_ms, total_due_at_ms, attempt_timeout_ms, heartbeat_timeout_ms,
    queue, handler, input, input_encoding, input_bytes, shared_input_id, failure);

-- name: insert_shared_inputs
insert into shared_inputs (namespace_id, execution_id, input_id, input, input_encoding)
select namespace_id, execution_id, input_id, input, input_encoding
from unnest($1::int[], $2::uuid[], $3::int[], $4::bytea[], $5::text[])
  as s (namespace_id, execution_id, input_id, input, input_encoding);

-- name: complete_tasks
-- The usual end of a task, kept apart from update_tasks because it is most of what is written.
update tasks t set
  status = 'COMPLETED',
  revision = c.revision,
  finished_at = to_timestamp(c.finished_at_ms / 1000),
  due_at = null,
  failure = null,
  output = c.output,
  output_encoding = c.output_encoding
from unnest($1::tid[], $2::int[], $3::float8[], $4::bytea[], $5::text[])
  as c (ctid, revision, finished_at_ms, output, output_encoding)
where t.ctid = c.ctid;

-- name: update_tasks
-- Every other change of a task that has a row. A hand-out that the server took back gets the next
-- lease number.
update tasks t set
  status = c.status,
  revision = c.revision,
  attempt = c.attempt,
  crashes = c.crashes,
  lease = t.lease + c.lease_step,
  ready_at = to_timestamp(c.ready_at_ms / 1000),
  finished_at = to_timestamp(c.finished_at_ms / 1000),
  due_at = to_timestamp(c.due_at_ms / 1000),
  failure = c.failure,
  heartbeat = coalesce(c.heartbeat, t.heartbeat),
  heartbeat_encoding = case when c.heartbeat is null then t.heartbeat_encoding else c.heartbeat_encoding end
from unnest(
  $1::tid[], $2::task_status[], $3::int[], $4::smallint[], $5::smallint[], $6::int[], $7::float8[], $8::float8[], $9::float8[],
  $10::bytea[], $11::bytea[], $12::text[])
  as c (ctid, status, revision, attempt, crashes, lease_step, ready_at_ms, finished_at_ms, due_at_ms, failure, heartbeat,
    heartbeat_encoding)
where t.ctid = c.ctid;

-- name: insert_attempts
-- Keeps what the task row says of a try before update_tasks overwrites it.
insert into attempts (
  namespace_id, execution_id, task_id, map_index, lease, attempt, session_id, ready_at, started_at, finished_at, retry_delay_ms,
  failure)
select
  t.namespace_id, t.execution_id, t.task_id, t.map_index, t.lease, t.attempt, t.session_id, t.ready_at, t.started_at,
  to_timestamp(c.finished_at_ms / 1000), c.retry_delay_ms, c.failure
from unnest($1::tid[], $2::float8[], $3::bigint[], $4::bytea[]) as c (ctid, finished_at_ms, retry_delay_ms, failure)
join tasks t on t.ctid = c.ctid;
