import test, { type ExecutionContext } from "ava";
import type { ExecutionListQuery } from "../../server/engine/execution-store.js";
import { executionPage } from "../../server/store/execution-list.js";
import { openPipeline, type PipelineConnection } from "../../server/store/pipeline-client.js";
import { DatabasePool } from "../../server/store/pool.js";
import type { Query } from "../../server/store/client-work.js";
import { allStatements } from "../../server/store/statements.js";
import { latestWorkflowsPage, workflowVersionsPage } from "../../server/store/workflow-lists.js";
import { availablePostgres, useDatabase, type TestDatabase } from "../support/database.js";
import { planFaults, type AllowedAccess, type PlanNode } from "../support/query-plan.js";
import { rowsOf } from "../support/test-engine.js";

interface Hot {
  readonly name: string;
  readonly text: string;
  /** SQL expressions for the parameters. */
  readonly values: readonly string[];
  readonly allowed: AllowedAccess;
  /** Lanes and claims have connections that plan as if there were no statistics. */
  readonly lane: boolean;
}

const BATCH = 300;

/** The n-th execution that `fill` makes; the last ones are open. */
function idOf(n: number): string {
  return `00000000-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;
}

function times(value: (n: number) => string): string {
  return `'{${Array.from({ length: BATCH }, (_, n) => value(n)).join(",")}}'`;
}

const NAMESPACES = times(() => "1");
const IDS = times((n) => idOf(n + 1));
const TIDS = times((n) => `"(${n},1)"`);
const NULLS = times(() => "null");
const ROUTES = [NAMESPACES, times(() => "q"), times(() => "h"), times(() => "10"), IDS] as const;
const MORE = [times(() => "-32768"), times((n) => String(n < 8))] as const;
const HANDLERS = [NAMESPACES, times(() => "q"), times(() => '""'), times(() => "~")] as const;
const ONE = ["1", `'${idOf(5)}'`] as const;
const NOW = "clock_timestamp()";

const TASKS = { tasks: ["tasks_pkey"] };
const EXECUTIONS = { executions: ["executions_pkey"] };
const SHARED = { shared_inputs: ["shared_inputs_pkey"] };
const CLAIMED = { executions: ["executions_pkey"], tasks: ["tid"], ...SHARED };
const SESSIONS = { sessions: ["sessions_pkey"] };

function named(lane: boolean, name: string, allowed: AllowedAccess, ...values: readonly string[]): Hot {
  const statement = allStatements().get(name);
  if (statement === undefined) throw new Error(`There is no statement ${name}`);
  return { name, text: statement.text, values, allowed, lane };
}

const LANE_STATEMENTS: readonly Hot[] = [
  named(true, "lock_executions", EXECUTIONS, NAMESPACES, IDS),
  named(
    true,
    "lock_tasks",
    TASKS,
    NAMESPACES,
    IDS,
    times(() => "a"),
    times(() => "-1"),
  ),
  named(true, "lock_open_tasks", TASKS, NAMESPACES, IDS),
  named(
    true,
    "find_starts",
    { executions: ["executions_pkey", "executions_idempotency_key"] },
    NAMESPACES,
    IDS,
    IDS,
  ),
  named(true, "read_execution", EXECUTIONS, ...ONE),
  named(true, "read_tasks_since", TASKS, ...ONE, "1"),
  named(
    true,
    "read_outputs",
    TASKS,
    ...ONE,
    times((n) => String(n)),
  ),
  named(
    true,
    "update_executions",
    { executions: ["tid"] },
    ...[TIDS, NAMESPACES, times(() => "FAILED"), NULLS, NULLS, NULLS, NULLS, NULLS, NULLS, NULLS, NULLS],
  ),
  named(true, "touch_executions", { executions: ["tid"] }, TIDS, NAMESPACES),
  named(true, "complete_tasks", { tasks: ["tid"] }, TIDS, NAMESPACES, NULLS, NULLS, NULLS),
  named(
    true,
    "update_tasks",
    { tasks: ["tid"] },
    ...[
      TIDS,
      times(() => "READY"),
      NAMESPACES,
      NAMESPACES,
      NAMESPACES,
      NAMESPACES,
      NULLS,
      NULLS,
      NULLS,
      NULLS,
      NULLS,
      NULLS,
    ],
  ),
  named(true, "insert_attempts", { tasks: ["tid"] }, TIDS, NULLS, NULLS, NULLS),
  named(true, "claim_tasks", { ...CLAIMED, tasks: ["tasks_ready", "tid"] }, ...ROUTES, "16000000", ...MORE),
  named(
    true,
    "claim_suspects",
    { ...CLAIMED, tasks: ["tasks_suspect", "tid"] },
    ...ROUTES,
    "16000000",
    ...MORE,
  ),
  named(true, "find_backlog", { tasks: ["tasks_ready", "tasks_suspect"] }, ...HANDLERS),
];

const POOL_STATEMENTS: readonly Hot[] = [
  named(false, "read_held_tasks", { tasks: ["tasks_held"], ...SESSIONS }, IDS),
  named(
    false,
    "read_orphans",
    {
      tasks: ["tasks_held", "all of tasks_held"],
      sessions: ["sessions_pkey", "sessions_open", "all of sessions_open"],
    },
    "1000",
  ),
  named(
    false,
    "close_forgotten_sessions",
    {
      sessions: ["sessions_open", "all of sessions_open", "tid"],
      replicas: ["replicas_pkey", "all of replicas_pkey"],
    },
    "1e12",
  ),
  named(
    false,
    "read_unserved_sessions",
    { sessions: ["sessions_open"] },
    `'${idOf(5)}'`,
    IDS,
    "10000",
    "1e12",
  ),
  named(false, "due_tasks", { tasks: ["tasks_due"] }, "1000"),
  named(false, "due_executions", { executions: ["executions_due"] }, "1000"),
  named(false, "next_due", { tasks: ["tasks_due"], executions: ["executions_due"] }),
  named(
    false,
    "cancelling_executions",
    { executions: ["executions_cancelling", "all of executions_cancelling"] },
    "1000",
  ),
  named(false, "find_ended", EXECUTIONS, NAMESPACES, IDS),
  named(false, "get_execution", EXECUTIONS, ...ONE),
  named(false, "count_tasks", TASKS, ...ONE),
  named(false, "list_tasks", { ...TASKS, ...SESSIONS }, ...ONE),
  named(false, "list_tasks_since", { ...TASKS, ...SESSIONS }, ...ONE, "1"),
  named(false, "get_task", { ...TASKS, ...SESSIONS, ...SHARED }, ...ONE, "'a'", "-1"),
  named(false, "list_attempts", { attempts: ["attempts_pkey"], ...SESSIONS }, ...ONE, "'a'", "-1"),
  named(false, "list_sessions", { ...SESSIONS, tasks: ["tasks_held"] }, "1", `'${idOf(1)}'`, "100"),
  named(false, "adopt_session", SESSIONS, ...ONE, `'${idOf(1)}'`),
  named(false, "close_session", SESSIONS, ...ONE, `'${idOf(1)}'`),
  named(false, "find_latest_version", { workflows: ["workflows_pkey"] }, "1", "'w'"),
  named(
    false,
    "read_latest_workflow",
    { workflows: ["workflows_pkey"], workflow_versions: ["workflow_versions_pkey"] },
    ...["1", "'w'"],
  ),
  named(
    false,
    "read_workflow_versions",
    { workflows: ["workflows_pkey"], workflow_versions: ["workflow_versions_pkey"] },
    ...["1", "'w'", `'${idOf(1)}'`, `'${idOf(2)}'`],
  ),
];

const LIST: Omit<ExecutionListQuery, "afterExecutionId" | "limit"> = {
  workflow: "",
  versions: undefined,
  statuses: [],
  labels: {},
  createdAfterMs: undefined,
  createdBeforeMs: undefined,
};

function listed(name: string, query: Partial<ExecutionListQuery>, ...indexes: string[]): Hot {
  const after = { afterExecutionId: idOf(40_000), limit: 51 };
  const { statement, values } = executionPage(1, { ...LIST, ...query, ...after });
  return {
    name,
    text: statement.text,
    values: values.map(literal),
    allowed: { executions: indexes },
    lane: false,
  };
}

function paged(
  name: string,
  { text, values }: { text: string; values: readonly unknown[] },
  ...indexes: string[]
): Hot {
  const allowed = {
    workflows: ["workflows_pkey"],
    workflow_versions: ["workflow_versions_pkey", ...indexes],
  };
  return { name, text, values: values.map(literal), allowed, lane: false };
}

function literal(value: unknown): string {
  return `'${String(value).replaceAll("'", "''")}'`;
}

const PAGE = { pageSize: 50, pageToken: "" };

/** What people ask for; planned for its values each time, because such statements are not prepared. */
const LISTS: readonly Hot[] = [
  listed("list all executions", {}, "executions_pkey"),
  listed("list by workflow", { workflow: "w" }, "executions_by_workflow", "executions_pkey"),
  listed("list by status", { statuses: ["RUNNING"] }, "executions_not_completed", "executions_pkey"),
  listed(
    "list by statuses",
    { statuses: ["RUNNING", "FAILED"] },
    "executions_not_completed",
    "executions_pkey",
  ),
  listed("list completed", { statuses: ["COMPLETED"] }, "executions_pkey"),
  listed("list by label", { labels: { n: "7" } }, "executions_by_label", "executions_pkey"),
  paged(
    "list workflows",
    latestWorkflowsPage(1, { namePrefix: "w", ...PAGE }),
    "workflow_versions_by_age",
    "all of workflow_versions_by_age",
  ),
  paged("list versions", workflowVersionsPage(1, { name: "w", ...PAGE }), "workflow_versions_by_age"),
];

/** Connections that plan as those of the server do, with plans that are prepared once. */
class Planner {
  readonly #lane: PipelineConnection;
  readonly #pool: DatabasePool;
  readonly #prepared = new Map<string, string>();

  constructor(t: ExecutionContext, { config }: TestDatabase) {
    this.#lane = openPipeline(config, { purpose: "lane", hot: true });
    // One connection, which keeps what was prepared on it.
    this.#pool = new DatabasePool({ ...config, poolMax: 1, idleTimeoutMs: 0 }, () => undefined);
    t.teardown(() => Promise.all([this.#lane.close(), this.#pool.close()]));
  }

  async explain(hot: Hot, mode: "force_generic_plan" | "force_custom_plan"): Promise<PlanNode> {
    const key = `${hot.lane}/${hot.name}`;
    const name = this.#prepared.get(key) ?? `s${this.#prepared.size}`;
    const explain = async (query: Query): Promise<PlanNode> => {
      if (!this.#prepared.has(key)) await query({ text: `prepare ${name} as ${hot.text}` });
      this.#prepared.set(key, name);
      await query({ text: `set plan_cache_mode = ${mode}` });
      const values = hot.values.length === 0 ? "" : `(${hot.values.join(", ")})`;
      const { rows } = await query<{ "QUERY PLAN": [{ Plan: PlanNode }] }>({
        text: `explain (format json) execute ${name}${values}`,
      });
      return rows[0]!["QUERY PLAN"][0].Plan;
    };
    return await (hot.lane ? this.#lane.run(explain) : this.#pool.withClient(explain));
  }
}

/** So many executions with one task each, of which the last 200 are open. */
async function fill(database: TestDatabase, from: number, to: number): Promise<void> {
  const id = "('00000000-0000-7000-8000-' || lpad(to_hex(n::int), 12, '0'))::uuid";
  const rows = `generate_series(${from}, ${to}) n cross join lateral (select n > ${to - 200} as open) o`;
  await rowsOf(
    database,
    `insert into executions (namespace_id, execution_id, workflow, version, revision, status, priority, trace_id,
        created_at, finished_at, due_at, input, labels, idempotency_key)
     select 1, ${id}, 'w' || n % 20, ${id}, 1, (case when open then 'RUNNING' else 'COMPLETED' end)::execution_status, 0,
        ${id}, ${NOW}, case when open then null else ${NOW} end, case when open then ${NOW} + interval '1 h' end, '{}',
        case when n % 10 = 0 then jsonb_build_object('n', (n % 1000)::text) end, case when n % 3 = 0 then n::text end
     from ${rows}`,
  );
  await rowsOf(
    database,
    `insert into tasks (namespace_id, execution_id, task_id, map_index, status, revision, attempt, max_attempts, crashes,
        lease, priority, session_id, ready_at, started_at, finished_at, due_at, queue, handler, input, input_bytes)
     select 1, ${id}, 'a', -1,
        (case when not open then 'COMPLETED' when n % 2 = 0 then 'READY' else 'RUNNING' end)::task_status, 1, 1, 3,
        case when open and n % 20 = 0 then 1 else 0 end, 1, 0, ${id}, ${NOW}, ${NOW},
        case when open then null else ${NOW} end, case when open and n % 2 = 0 then ${NOW} + interval '1 h' end, 'q', 'h', '{}', 2
     from ${rows}`,
  );
  await rowsOf(
    database,
    `insert into sessions (namespace_id, session_id, replica_id, worker_name, sdk_name, sdk_version, build_id, handlers,
        queues, labels, slots, poll_timeout_ms)
     select 1, ${id}, ${id}, 'w', '', '', '', '{h}', '{q}', '{}', 1, null from generate_series(${from}, ${from + (to - from) / 20}) n`,
  );
  await rowsOf(
    database,
    `insert into attempts (namespace_id, execution_id, task_id, map_index, lease, attempt, finished_at, failure)
     select 1, ${id}, 'a', -1, 1, 1, ${NOW}, '{}' from generate_series(${from}, ${to}, 10) n`,
  );
}

async function fillWorkflows(database: TestDatabase): Promise<void> {
  await rowsOf(
    database,
    `with v as (
       insert into workflow_versions (namespace_id, name, version, spec, task_count, description)
       select 1, 'w' || n % 500, ('00000000-0000-7000-8000-' || lpad(to_hex(n::int), 12, '0'))::uuid, '{}', 1, ''
       from generate_series(1, 10000) n returning name, version)
     insert into workflows (namespace_id, name, latest_version)
     select 1, name, max(version::text)::uuid from v group by name`,
  );
}

/** Statistics come only when the test asks for them. */
async function withoutAutovacuum(database: TestDatabase): Promise<void> {
  for (const table of ["executions", "tasks", "sessions", "attempts", "workflows", "workflow_versions"]) {
    await rowsOf(database, `alter table ${table} set (autovacuum_enabled = off)`);
  }
}

/** Answers what is wrong. Plans that are made for their values matter where they are made now. */
async function check(planner: Planner, when: string, ownPlans: boolean): Promise<string[]> {
  const found: string[] = [];
  for (const hot of [...LANE_STATEMENTS, ...POOL_STATEMENTS]) {
    for (const mode of ["force_generic_plan", "force_custom_plan"] as const) {
      if (mode === "force_custom_plan" && !ownPlans) continue;
      const faults = planFaults(await planner.explain(hot, mode), hot.allowed);
      found.push(...faults.map((fault) => `${hot.name}, ${when}, ${mode}: ${fault}`));
    }
  }
  if (!ownPlans) return found;
  for (const hot of LISTS) {
    const faults = planFaults(await planner.explain(hot, "force_custom_plan"), hot.allowed);
    found.push(...faults.map((fault) => `${hot.name}, ${when}: ${fault}`));
  }
  return found;
}

for (const version of availablePostgres()) {
  test(`PostgreSQL ${version}: hot statements find their rows by index, however tables grow`, async (t) => {
    t.timeout(120_000);
    const database = await useDatabase(t, { version });
    await withoutAutovacuum(database);
    const old = new Planner(t, database);
    const faults: string[] = [];
    faults.push(...(await check(old, "on empty tables", true)));
    await fill(database, 1, 5_000);
    await fillWorkflows(database);
    faults.push(...(await check(old, "prepared on empty tables, used on new rows", false)));
    faults.push(...(await check(new Planner(t, database), "on new rows without statistics", true)));
    await rowsOf(database, "analyze");
    await fill(database, 5_001, 110_000);
    faults.push(...(await check(old, "on tables that grew since their statistics", false)));
    faults.push(
      ...(await check(new Planner(t, database), "on tables that grew since their statistics", true)),
    );
    await rowsOf(database, "analyze");
    faults.push(...(await check(old, "prepared on empty tables, with new statistics", false)));
    faults.push(...(await check(new Planner(t, database), "on large tables with statistics", true)));
    t.deepEqual(faults, []);
  });
}

test("a statement that finds its rows in another way is seen", async (t) => {
  const database = await useDatabase(t);
  await withoutAutovacuum(database);
  await fill(database, 1, 2_000);
  const planner = new Planner(t, database);
  const faultsOf = async (text: string, lane: boolean, allowed: AllowedAccess): Promise<string[]> => {
    const hot = { name: text, text, values: [IDS], allowed, lane };
    return planFaults(await planner.explain(hot, "force_generic_plan"), allowed);
  };
  const joined = `update tasks t set revision = 2 from unnest($1::uuid[]) as k (execution_id)
    where t.namespace_id = 1 and t.execution_id = k.execution_id and t.status = 'RUNNING'`;
  t.notDeepEqual(await faultsOf(joined, true, TASKS), [], "a partial index is joined with the batch");
  t.notDeepEqual(await faultsOf(joined, false, TASKS), []);
  const whole = "select from tasks where execution_id = any ($1::uuid[])";
  t.regex((await faultsOf(whole, false, TASKS)).join(), /too much of tasks_pkey/);
  const inside: PlanNode = {
    "Node Type": "Nested Loop",
    Plans: [
      {
        "Node Type": "Index Scan",
        "Parent Relationship": "Outer",
        "Relation Name": "tasks",
        "Index Name": "tasks_pkey",
        "Index Cond": "(namespace_id = 1) AND (execution_id = k)",
      },
      { "Node Type": "Function Scan", "Parent Relationship": "Inner" },
    ],
  };
  t.deepEqual(planFaults(inside, TASKS), ["a nested loop has the batch on its inside"]);
  t.deepEqual(
    planFaults(
      {
        ...inside,
        Plans: inside.Plans!.map((plan, n) => ({
          ...plan,
          "Parent Relationship": n === 0 ? "Inner" : "Outer",
        })),
      },
      TASKS,
    ),
    [],
  );
});
