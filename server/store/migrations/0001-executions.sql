-- Executions, their tasks, and who holds them. namespace_id leads every key, so that no link can
-- cross tenants and the tables can be distributed by it.

create type execution_status as enum
  ('PENDING', 'RUNNING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMED_OUT');

create type task_status as enum
  ('PENDING', 'SCHEDULED', 'READY', 'RUNNING', 'WAITING', 'COMPLETED', 'FAILED', 'SKIPPED', 'CANCELLED', 'TIMED_OUT');

create table executions (
  namespace_id        integer          not null,
  execution_id        uuid             not null,
  workflow            text             not null collate "C",
  version             uuid             not null,
  revision            integer          not null,
  status              execution_status not null,
  priority            smallint         not null,
  trace_id            uuid             not null,
  parent_span_id      bytea,
  trace_flags         smallint,
  created_at          timestamptz      not null,
  started_at          timestamptz,
  finished_at         timestamptz,
  deadline_at         timestamptz,
  cancel_requested_at timestamptz,
  cancel_due_at       timestamptz,
  -- The earlier of deadline and cancel_due_at while the execution is open.
  due_at              timestamptz,
  input               bytea            not null,
  -- Null is "json", the usual case.
  input_encoding      text,
  output              bytea,
  output_encoding     text,
  -- JSON text; bytea because jsonb cannot hold every string that a handler may report.
  failure             bytea,
  labels              jsonb,
  idempotency_key     text             collate "C",
  cancel_reason       text,
  tracestate          text,
  constraint executions_pkey primary key (namespace_id, execution_id),
  constraint executions_revision check (revision > 0),
  constraint executions_end check ((finished_at is not null) = (status in ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMED_OUT'))),
  constraint executions_due check (due_at is null or finished_at is null),
  constraint executions_failure check (failure is null or status in ('FAILED', 'CANCELLED', 'TIMED_OUT')),
  constraint executions_key_length check (char_length(idempotency_key) between 1 and 200)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);

create unique index executions_idempotency_key on executions (namespace_id, idempotency_key)
  where idempotency_key is not null;
-- Lists are newest first by execution_id, which is a UUIDv7. Completed executions are the many; the
-- primary key finds them, and this index the few others.
create index executions_not_completed on executions (namespace_id, status, execution_id)
  where status <> 'COMPLETED';
-- Its condition always holds. It keeps the index from statements that name no workflow: on small tables
-- all indexes cost the same, and a plan that was prepared then would read a whole namespace later.
create index executions_by_workflow on executions (namespace_id, workflow, execution_id)
  where workflow <> '';
create index executions_by_label on executions using gin (labels jsonb_path_ops) where labels is not null;
create index executions_due on executions (due_at) where due_at is not null;
create index executions_cancelling on executions (execution_id)
  where cancel_requested_at is not null and finished_at is null;

create table tasks (
  namespace_id         integer     not null,
  execution_id         uuid        not null,
  task_id              text        not null collate "C",
  map_index            integer     not null,
  status               task_status not null,
  -- The revision of the execution that last changed this row. Claims do not change it.
  revision             integer     not null,
  attempt              smallint    not null,
  max_attempts         smallint    not null,
  crashes              smallint    not null,
  -- Grows with every hand-out, and whenever the server takes one back.
  lease                integer     not null,
  priority             smallint    not null,
  session_id           uuid,
  first_ready_at       timestamptz,
  ready_at             timestamptz,
  started_at           timestamptz,
  finished_at          timestamptz,
  -- When a task that nobody runs must be looked at: its retry, its queue or its total timeout.
  due_at               timestamptz,
  total_due_at         timestamptz,
  attempt_timeout_ms   bigint,
  heartbeat_timeout_ms bigint,
  queue                text        not null collate "C",
  handler              text        not null collate "C",
  -- Null when shared_inputs has it.
  input                bytea,
  input_encoding       text,
  input_bytes          integer     not null,
  shared_input_id      integer,
  output               bytea,
  output_encoding      text,
  failure              bytea,
  -- Of the last beat of the previous attempt.
  heartbeat            bytea,
  heartbeat_encoding   text,
  constraint tasks_pkey primary key (namespace_id, execution_id, task_id, map_index),
  constraint tasks_end check ((finished_at is not null) = (status in ('COMPLETED', 'FAILED', 'SKIPPED', 'CANCELLED', 'TIMED_OUT'))),
  constraint tasks_attempt check (attempt between 0 and max_attempts),
  constraint tasks_running check (status <> 'RUNNING' or (session_id is not null and started_at is not null and lease > 0)),
  constraint tasks_ready check (status not in ('READY', 'RUNNING') or (ready_at is not null and attempt > 0)),
  constraint tasks_scheduled check (status <> 'SCHEDULED' or due_at is not null),
  constraint tasks_due check (due_at is null or status in ('SCHEDULED', 'READY', 'WAITING')),
  constraint tasks_output check (output is null or status = 'COMPLETED')
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);

-- The backlog of each route, in the order in which it is handed out. A task whose worker vanished is
-- a suspect and stands in a line of its own, so that it never takes the tasks beside it down twice.
create index tasks_ready on tasks (namespace_id, queue, handler, priority desc, ready_at)
  where status = 'READY' and crashes = 0;
create index tasks_suspect on tasks (namespace_id, queue, handler, priority desc, ready_at)
  where status = 'READY' and crashes > 0;
create index tasks_held on tasks (session_id) where status = 'RUNNING';
create index tasks_due on tasks (due_at) where due_at is not null;

-- Large inputs that several tasks of an execution became ready with at once.
create table shared_inputs (
  namespace_id   integer not null,
  execution_id   uuid    not null,
  -- The plan index of the first of the tasks.
  input_id       integer not null,
  input          bytea   not null,
  input_encoding text,
  constraint shared_inputs_pkey primary key (namespace_id, execution_id, input_id)
);

-- Tries that ended without ending their task. The last one is on the task itself.
create table attempts (
  namespace_id   integer     not null,
  execution_id   uuid        not null,
  task_id        text        not null collate "C",
  map_index      integer     not null,
  lease          integer     not null,
  attempt        smallint    not null,
  session_id     uuid,
  ready_at       timestamptz,
  started_at     timestamptz,
  finished_at    timestamptz not null,
  retry_delay_ms bigint,
  failure        bytea       not null,
  constraint attempts_pkey primary key (namespace_id, execution_id, task_id, map_index, lease)
);

-- Server processes. A replica renews its row; one that does not loses its sessions to a sweep.
create table replicas (
  replica_id uuid        not null primary key,
  address    text        not null,
  version    text        not null,
  started_at timestamptz not null default clock_timestamp(),
  renewed_at timestamptz not null default clock_timestamp(),
  -- A replica that left in order; its sessions may be resumed but need no sweep delay.
  left_at    timestamptz
);

-- Worker sessions. Attempts belong to a session, a session to the replica that serves it now.
create table sessions (
  namespace_id    integer     not null,
  session_id      uuid        not null,
  replica_id      uuid        not null,
  worker_name     text        not null,
  sdk_name        text        not null,
  sdk_version     text        not null,
  build_id        text        not null,
  handlers        text[]      not null,
  queues          text[]      not null,
  labels          jsonb       not null,
  slots           integer     not null,
  -- How long a polling session lasts without a call; null for one with a stream.
  poll_timeout_ms bigint,
  draining        boolean     not null default false,
  connected_at    timestamptz not null default clock_timestamp(),
  closed_at       timestamptz,
  constraint sessions_pkey primary key (namespace_id, session_id)
);
create index sessions_open on sessions (replica_id) where closed_at is null;
