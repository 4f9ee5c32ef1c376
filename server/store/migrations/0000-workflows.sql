-- Namespaces and the definitions of workflows. Every table and statement finds its schema through
-- search_path.

create table namespaces (
  namespace_id int generated always as identity primary key,
  name text collate "C" not null unique
    check (name ~ '^[a-z][a-z0-9-]*$' and length(name) <= 63),
  created_at timestamptz not null default clock_timestamp()
);

insert into namespaces (name) values ('default');

create table workflows (
  namespace_id int not null references namespaces,
  name text collate "C" not null
    check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' and length(name) <= 200),
  latest_version uuid not null,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (namespace_id, name)
);

-- A version is what was written, under the hash of its content: inserted once, never updated.
create table workflow_versions (
  namespace_id int not null,
  name text collate "C" not null,
  version uuid not null,
  spec bytea not null,
  task_count int not null check (task_count > 0),
  description text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (namespace_id, name, version),
  foreign key (namespace_id, name) references workflows
);

-- "The versions of one workflow, newest first."
create index workflow_versions_by_age on workflow_versions (namespace_id, name, created_at desc, version desc);

alter table workflows
  add foreign key (namespace_id, name, latest_version)
    references workflow_versions (namespace_id, name, version)
    deferrable initially deferred;
