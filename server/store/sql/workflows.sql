-- name: find_namespace
-- $1 name
select namespace_id
  from namespaces
 where name = $1;

-- name: create_namespace
-- $1 name. No row when it exists already.
insert into namespaces (name)
values ($1)
on conflict (name) do nothing
returning namespace_id;

-- name: put_workflow_version
-- $1 namespace_id, $2 name, $3 version, $4 spec, $5 task_count, $6 description
-- Stores the version unless it is there, and makes it the latest. The workflow's row comes first, so
-- that two puts of one workflow wait for each other there and never in a circle.
with workflow as (
  insert into workflows as w (namespace_id, name, latest_version)
  values ($1, $2, $3)
  on conflict (namespace_id, name) do update
     set latest_version = excluded.latest_version,
         updated_at = case when w.latest_version = excluded.latest_version
                           then w.updated_at else clock_timestamp() end
  returning w.namespace_id, w.name, w.latest_version
), stored as (
  insert into workflow_versions (namespace_id, name, version, spec, task_count, description)
  select namespace_id, name, latest_version, $4::bytea, $5::int, $6::text
    from workflow
  on conflict do nothing
  returning version
)
select exists (select from stored) as created;

-- name: find_latest_version
-- $1 namespace_id, $2 name
select latest_version as version
  from workflows
 where namespace_id = $1
   and name = $2;

-- name: read_latest_workflow
-- $1 namespace_id, $2 name
select v.name, v.version, v.spec, v.task_count, v.description,
       (extract(epoch from v.created_at) * 1000000)::bigint as created_at_us,
       true as latest
  from workflows w
  join workflow_versions v
    on v.namespace_id = w.namespace_id
   and v.name = w.name
   and v.version = w.latest_version
 where w.namespace_id = $1
   and w.name = $2;

-- name: read_workflow_versions
-- $1 namespace_id, $2 name, $3 lowest version, $4 highest version
-- At most two rows: enough to tell one from several.
select v.name, v.version, v.spec, v.task_count, v.description,
       (extract(epoch from v.created_at) * 1000000)::bigint as created_at_us,
       v.version = w.latest_version as latest
  from workflow_versions v
  join workflows w
    on w.namespace_id = v.namespace_id
   and w.name = v.name
 where v.namespace_id = $1
   and v.name = $2
   and v.version between $3 and $4
 order by v.version
 limit 2;
