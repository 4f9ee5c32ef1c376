import test, { type ExecutionContext } from "ava";
import { HeadraceError, type Reason } from "../../server/core/errors.js";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import type { WorkflowSpec } from "../../server/core/workflow-spec.js";
import { PlanCache, type PlanCacheOptions } from "../../server/engine/plan-cache.js";
import type { WorkflowStore } from "../../server/engine/workflow-store.js";
import { parseVersion, versionText } from "../../server/engine/workflow-version.js";
import { Workflows } from "../../server/engine/workflows.js";
import { PostgresWorkflowStore } from "../../server/store/workflow-store.js";
import { useDatabase } from "../support/database.js";

interface Replica {
  readonly workflows: Workflows;
  readonly plans: PlanCache;
  /** Names of the store's methods that were called since they were last taken. */
  readonly takeCalls: () => string[];
}

async function openReplicas(
  t: ExecutionContext,
  options: Partial<PlanCacheOptions> = {},
): Promise<() => Replica> {
  const { pool } = await useDatabase(t);
  return () => {
    const calls: string[] = [];
    const store = recordCalls(new PostgresWorkflowStore(pool), calls);
    const plans = new PlanCache(store, { limits: DEFAULT_LIMITS, ...options });
    const workflows = new Workflows({ store, plans, limits: DEFAULT_LIMITS });
    return { workflows, plans, takeCalls: () => calls.splice(0) };
  };
}

function recordCalls(store: WorkflowStore, calls: string[]): WorkflowStore {
  return new Proxy(store, {
    get: (target, name: keyof WorkflowStore) => {
      const method = target[name].bind(target) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        calls.push(name);
        return method(...args);
      };
    },
  });
}

function specOf(name: string, ...taskIds: string[]): WorkflowSpec {
  return { name, description: `${taskIds.length} tasks`, tasks: taskIds.map((id) => ({ id })) };
}

async function refuses(t: ExecutionContext, call: Promise<unknown>, reason: Reason): Promise<HeadraceError> {
  const error = await t.throwsAsync(call, { instanceOf: HeadraceError });
  t.is(error.reason, reason);
  return error;
}

test("a workflow is put, read and listed as it was written", async (t) => {
  const { workflows } = (await openReplicas(t))();
  const spec = specOf("order", "charge", "ship");
  const put = await workflows.put("default", spec);
  t.regex(put.version, /^[0-9a-f]{32}$/);
  t.deepEqual(await workflows.put("default", spec), { ...put, created: false });
  t.deepEqual(await workflows.validate("default", spec), { problems: [], version: put.version });
  for (const version of ["", put.version, put.version.slice(0, 6), put.version.toUpperCase()]) {
    const stored = await workflows.get("default", "order", version);
    t.deepEqual(stored.spec, spec);
    t.like(stored, {
      name: "order",
      version: put.version,
      description: "2 tasks",
      taskCount: 2,
      latest: true,
    });
  }
  const changed = await workflows.put("default", specOf("order", "charge"));
  t.true(changed.created);
  t.false((await workflows.get("default", "order", put.version)).latest);
  const page = { pageSize: 10, pageToken: "" };
  const { items } = await workflows.list("default", { ...page, namePrefix: "o" });
  t.deepEqual(
    items.map((item) => item.version),
    [changed.version],
  );
  const versions = await workflows.listVersions("default", { ...page, name: "order" });
  t.deepEqual(
    versions.items.map((item) => item.version),
    [changed.version, put.version],
  );
});

test("what does not exist is said to be missing, and what is not valid to be so", async (t) => {
  const { workflows, plans } = (await openReplicas(t))();
  await workflows.put("default", specOf("order", "a"));
  const page = { pageSize: 10, pageToken: "" };
  await refuses(t, workflows.get("nowhere", "order", ""), "NAMESPACE_NOT_FOUND");
  await refuses(t, workflows.get("No Where", "order", ""), "INVALID_FIELD");
  await refuses(t, workflows.get("default", "none", ""), "WORKFLOW_NOT_FOUND");
  await refuses(t, workflows.get("default", "none", "abcdef"), "WORKFLOW_NOT_FOUND");
  await refuses(
    t,
    workflows.get("default", "order", "abcdef0123456789abcdef0123456789"),
    "VERSION_NOT_FOUND",
  );
  await refuses(t, workflows.get("default", "order", "abcde"), "INVALID_FIELD");
  await refuses(t, workflows.listVersions("default", { ...page, name: "none" }), "WORKFLOW_NOT_FOUND");
  await refuses(t, plans.resolve(1, "none", ""), "WORKFLOW_NOT_FOUND");
  await refuses(t, plans.resolve(1, "order", "abcdef"), "VERSION_NOT_FOUND");
  await refuses(t, plans.getPlan(1, "order", "00000000-0000-4000-8000-000000000000"), "VERSION_NOT_FOUND");

  const broken: WorkflowSpec = { name: "order", tasks: [{ id: "a", dependsOn: ["b"] }, { id: "a" }] };
  const error = await refuses(t, workflows.put("default", broken), "INVALID_WORKFLOW");
  const { problems, version } = await workflows.validate("default", broken);
  t.is(version, "");
  t.true(problems.length >= 2);
  t.deepEqual(
    error.facts.violations?.map((violation) => violation.field),
    problems.map((problem) => problem.path),
  );
});

test("a put creates its namespace, and no namespace sees another", async (t) => {
  const { workflows } = (await openReplicas(t))();
  await workflows.put("team-a", specOf("order", "a"));
  await refuses(t, workflows.get("default", "order", ""), "WORKFLOW_NOT_FOUND");
  t.is((await workflows.get("team-a", "order", "")).name, "order");
  await refuses(t, workflows.put("Team A", specOf("order", "a")), "INVALID_FIELD");
});

test("a beginning that fits several versions is refused", async (t) => {
  const { pool } = await useDatabase(t);
  const store = new PostgresWorkflowStore(pool);
  const plans = new PlanCache(store, { limits: DEFAULT_LIMITS });
  for (const end of ["0", "1"]) {
    const version = `abcdef00-0000-4000-8000-00000000000${end}`;
    const spec = Buffer.from("{}");
    await store.putVersion({ namespaceId: 1, name: "order", version, spec, taskCount: 1, description: "" });
  }
  const error = await refuses(t, plans.resolve(1, "order", "abcdef"), "INVALID_FIELD");
  t.regex(error.message, /Several versions/);
});

test("plans and numbers are read once, also by many at once", async (t) => {
  const open = await openReplicas(t);
  const writer = open();
  const { version } = await writer.workflows.put("default", specOf("order", "a", "b"));
  const reader = open();
  const id = await reader.plans.namespaceId("default");
  const plans = await Promise.all(
    Array.from({ length: 5 }, () => reader.plans.resolve(id, "order", version)),
  );
  t.true(plans.every((plan) => plan === plans[0]));
  t.deepEqual(
    plans[0]!.tasks.map((task) => task.id),
    ["a", "b"],
  );
  t.true(reader.takeCalls().includes("readVersions"));
  t.is(await reader.plans.namespaceId("default"), id);
  t.is(await reader.plans.ensureNamespaceId("default"), id);
  t.is(await reader.plans.resolve(id, "order", version), plans[0]!);
  t.is(await reader.plans.getPlan(id, "order", plans[0]!.version), plans[0]!);
  t.is(await reader.plans.getPlan(id, "order", versionText(plans[0]!.version)), plans[0]!);
  t.deepEqual(reader.takeCalls(), []);
});

test("the latest version is at once the one put here, and within a second the one put elsewhere", async (t) => {
  let nowMs = 5_000;
  const open = await openReplicas(t, { nowMs: () => nowMs });
  const [here, elsewhere] = [open(), open()];
  const first = await here.workflows.put("default", specOf("order", "a"));
  const latest = async (replica: Replica): Promise<string> =>
    versionText((await replica.plans.resolve(1, "order", "")).version);
  t.is(await latest(elsewhere), first.version);

  const second = await here.workflows.put("default", specOf("order", "a", "b"));
  t.is(await latest(here), second.version);
  nowMs += 999;
  t.is(await latest(elsewhere), first.version);
  nowMs += 1;
  t.is(await latest(elsewhere), second.version);
  elsewhere.takeCalls();
  t.is(await latest(elsewhere), second.version);
  t.deepEqual(elsewhere.takeCalls(), []);
  nowMs += 1_000;
  await Promise.all([1, 2, 3].map(() => latest(elsewhere)));
  t.deepEqual(elsewhere.takeCalls(), ["findLatestVersion"], "many who ask at once are one question");
});

test("an answer that a put has overtaken does not win", async (t) => {
  const { pool } = await useDatabase(t);
  const real = new PostgresWorkflowStore(pool);
  let answer = (): void => undefined;
  const held = new Promise<void>((resolve) => (answer = resolve));
  const slow: WorkflowStore = new Proxy(real, {
    get: (target, name: keyof WorkflowStore) =>
      name === "findLatestVersion"
        ? async (...args: Parameters<WorkflowStore["findLatestVersion"]>) => {
            const found = await target.findLatestVersion(...args);
            await held;
            return found;
          }
        : (target[name].bind(target) as unknown),
  });
  const before = new PlanCache(real, { limits: DEFAULT_LIMITS });
  await new Workflows({ store: real, plans: before, limits: DEFAULT_LIMITS }).put(
    "default",
    specOf("order", "a"),
  );
  const plans = new PlanCache(slow, { limits: DEFAULT_LIMITS });
  const asked = plans.resolveLatest(1, "order");
  const second = await new Workflows({ store: real, plans, limits: DEFAULT_LIMITS }).put(
    "default",
    specOf("order", "a", "b"),
  );
  answer();
  t.is(versionText(await asked), second.version);
  t.is(versionText(await plans.resolveLatest(1, "order")), second.version);
});

test("memory is bounded, and what was accepted stays valid under lower limits", async (t) => {
  const open = await openReplicas(t, {
    maxBytes: 1,
    limits: { ...DEFAULT_LIMITS, tasksPerWorkflow: 1, nameChars: 1 },
  });
  const replica = open();
  const { version } = await replica.workflows.put("default", specOf("order", "charge", "ship"));
  replica.takeCalls();
  t.is((await replica.plans.resolve(1, "order", version)).tasks.length, 2);
  t.true(replica.takeCalls().includes("readVersions"), "a plan beyond the bound is not kept");
});

test("versions are read from 6 to 32 digits", (t) => {
  t.deepEqual(parseVersion("ABCDEF"), {
    lowest: "abcdef00-0000-0000-0000-000000000000",
    highest: "abcdefff-ffff-ffff-ffff-ffffffffffff",
  });
  const whole = "0f7ae3ab-5a4c-4a37-8f5b-0a4d27cdd111";
  t.deepEqual(parseVersion(whole), { lowest: whole, highest: whole });
  t.deepEqual(parseVersion(versionText(whole)), { lowest: whole, highest: whole });
  for (const wrong of ["abcde", "a-b-c-d-e", "abcdeg", "0".repeat(33), "abcdef%", ""]) {
    const error = t.throws(() => parseVersion(wrong), { instanceOf: HeadraceError }, wrong);
    t.is(error.facts.field, "version");
  }
});
