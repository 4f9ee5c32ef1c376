import { randomUUID } from "node:crypto";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { HeadraceError } from "../../server/core/errors.js";
import type { NewWorkflowVersion, WorkflowPage } from "../../server/engine/workflow-store.js";
import { DatabasePool } from "../../server/store/pool.js";
import { PostgresWorkflowStore } from "../../server/store/workflow-store.js";
import { availablePostgres, useDatabase, type PostgresVersion } from "../support/database.js";

const DEFAULT_NAMESPACE = 1;

async function openStore(t: ExecutionContext, version: PostgresVersion): Promise<PostgresWorkflowStore> {
  const { pool } = await useDatabase(t, { version });
  return new PostgresWorkflowStore(pool);
}

function versionOf(name: string, fields: Partial<NewWorkflowVersion> = {}): NewWorkflowVersion {
  return {
    namespaceId: DEFAULT_NAMESPACE,
    name,
    version: randomUUID(),
    spec: Buffer.from("{}"),
    taskCount: 1,
    description: "",
    ...fields,
  };
}

/** Every page of a list, followed by its tokens. */
async function readAll(list: (pageToken: string) => Promise<WorkflowPage>): Promise<WorkflowPage["items"]> {
  const items: Array<WorkflowPage["items"][number]> = [];
  let pageToken = "";
  do {
    const page = await list(pageToken);
    items.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return items;
}

for (const version of availablePostgres()) {
  const title = (what: string): string => `PostgreSQL ${version}: ${what}`;

  test(title("the namespace default exists, others come with their first use"), async (t) => {
    const store = await openStore(t, version);
    t.is(await store.findNamespace("default"), DEFAULT_NAMESPACE);
    t.is(await store.findNamespace("team-a"), undefined);
    const ids = await Promise.all(Array.from({ length: 5 }, () => store.ensureNamespace("team-a")));
    t.is(new Set(ids).size, 1);
    t.is(await store.findNamespace("team-a"), ids[0]);
    t.is(await store.ensureNamespace("default"), DEFAULT_NAMESPACE);
  });

  test(title("putting is idempotent, and what was put last is the latest"), async (t) => {
    const store = await openStore(t, version);
    const spec = Buffer.from([0, 255, 10, 39]);
    const first = versionOf("order", { spec, taskCount: 3, description: "it's\n$1 \\ described" });
    const second = versionOf("order");
    t.deepEqual(await store.putVersion(first), { created: true });
    t.deepEqual(await store.putVersion(first), { created: false });
    t.is(await store.findLatestVersion(DEFAULT_NAMESPACE, "order"), first.version);
    t.deepEqual(await store.putVersion(second), { created: true });
    t.is((await store.readLatest(DEFAULT_NAMESPACE, "order"))?.version, second.version);
    t.deepEqual(await store.putVersion(first), { created: false });
    const latest = await store.readLatest(DEFAULT_NAMESPACE, "order");
    t.like(latest, {
      name: "order",
      version: first.version,
      taskCount: 3,
      description: first.description,
      latest: true,
    });
    t.deepEqual(Buffer.from(latest!.spec), spec);
    t.true(Math.abs(latest!.createdAtMs - Date.now()) < 60_000);
    t.is(await store.readLatest(DEFAULT_NAMESPACE, "none"), undefined);
    t.is(await store.findLatestVersion(DEFAULT_NAMESPACE + 1, "order"), undefined);
  });

  test(
    title("equal puts at once create one version, different ones do not block each other for good"),
    async (t) => {
      const store = await openStore(t, version);
      const same = versionOf("order");
      const others = Array.from({ length: 6 }, () => versionOf("order"));
      const all = [same, ...others, same, same];
      const results = await Promise.all(all.map((each) => store.putVersion(each)));
      t.is(results.filter((result) => result.created).length, 7);
      const latest = await store.findLatestVersion(DEFAULT_NAMESPACE, "order");
      t.true(all.some((each) => each.version === latest));
    },
  );

  test(title("versions are found by range, two at most"), async (t) => {
    const store = await openStore(t, version);
    const ids = [
      "aabbcc00-0000-4000-8000-000000000000",
      "aabbccff-0000-4000-8000-000000000000",
      "aabbcd00-0000-4000-8000-000000000000",
    ];
    for (const id of ids) await store.putVersion(versionOf("order", { version: id }));
    await store.putVersion(versionOf("other", { version: ids[0]! }));
    const between = async (lowest: string, highest: string): Promise<string[]> => {
      const found = await store.readVersions(DEFAULT_NAMESPACE, "order", { lowest, highest });
      return found.map((each) => each.version);
    };
    t.deepEqual(await between(ids[1]!, ids[1]!), [ids[1]]);
    t.deepEqual(await between(ids[0]!, "aabbccff-ffff-ffff-ffff-ffffffffffff"), ids.slice(0, 2));
    t.is((await between(ids[0]!, ids[2]!)).length, 2);
    t.deepEqual(
      await between("00000000-0000-0000-0000-000000000000", "0fffffff-ffff-ffff-ffff-ffffffffffff"),
      [],
    );
    const [latest] = await store.readVersions(DEFAULT_NAMESPACE, "order", {
      lowest: ids[2]!,
      highest: ids[2]!,
    });
    t.true(latest?.latest);
  });

  test(title("workflows are listed by name, whatever the prefix and the size of a page"), async (t) => {
    const store = await openStore(t, version);
    const names = ["a", "a-b", "a.b", "a_b", "aXb", "a0", "B", "ab", "b", "z9"];
    for (const name of names) {
      await store.putVersion(versionOf(name));
      await store.putVersion(versionOf(name));
    }
    const elsewhere = await store.ensureNamespace("elsewhere");
    await store.putVersion(versionOf("ab", { namespaceId: elsewhere }));
    const prefixes = fc.constantFrom("", "a", "a_", "a%", "aX", "b", "B", "zz", "\\");
    await fc.assert(
      fc.asyncProperty(prefixes, fc.integer({ min: 1, max: 12 }), async (namePrefix, pageSize) => {
        const list = (pageToken: string): Promise<WorkflowPage> =>
          store.listLatest(DEFAULT_NAMESPACE, { namePrefix, pageSize, pageToken });
        const listed = (await readAll(list)).map((item) => item.name);
        // Names are ASCII, so that JavaScript and the collation "C" agree.
        t.deepEqual(listed, names.filter((name) => name.startsWith(namePrefix)).sort());
      }),
      { numRuns: 30 },
    );
    const all = await store.listLatest(DEFAULT_NAMESPACE, { namePrefix: "", pageSize: 100, pageToken: "" });
    t.true(all.items.every((item) => item.latest));
  });

  test(title("versions are listed newest first, one page after another"), async (t) => {
    const store = await openStore(t, version);
    const put = Array.from({ length: 7 }, () => versionOf("order"));
    for (const each of put) await store.putVersion(each);
    await store.putVersion(put[2]!);
    const list = (pageToken: string): Promise<WorkflowPage> =>
      store.listVersions(DEFAULT_NAMESPACE, { name: "order", pageSize: 3, pageToken });
    const listed = await readAll(list);
    t.deepEqual(
      listed.map((item) => item.version),
      put.map((each) => each.version).reverse(),
    );
    t.deepEqual(
      listed.filter((item) => item.latest).map((item) => item.version),
      [put[2]!.version],
    );
    const { nextPageToken } = await list("");
    const elsewhere = store.listVersions(DEFAULT_NAMESPACE, {
      name: "other",
      pageSize: 3,
      pageToken: nextPageToken,
    });
    const error = await t.throwsAsync(elsewhere, { instanceOf: HeadraceError });
    t.is(error.reason, "INVALID_FIELD");
    t.is(error.facts.field, "page_token");
  });

  test(title("the tables refuse what the server would never write"), async (t) => {
    const store = await openStore(t, version);
    for (const wrong of [
      versionOf("no name"),
      versionOf("x".repeat(201)),
      versionOf("order", { taskCount: 0 }),
      versionOf("order", { namespaceId: 99 }),
      versionOf("order", { description: "\0" }),
    ]) {
      await t.throwsAsync(store.putVersion(wrong), { instanceOf: HeadraceError });
    }
    t.is(await store.findLatestVersion(DEFAULT_NAMESPACE, "order"), undefined);
    await t.throwsAsync(store.ensureNamespace("Team A"), { instanceOf: HeadraceError });
  });
}

test("a database that cannot be reached is an error that may be retried", async (t) => {
  const { config } = await useDatabase(t);
  const pool = new DatabasePool({ ...config, url: "postgres:///x?host=/nowhere&user=u" }, () => undefined);
  t.teardown(() => pool.close());
  const store = new PostgresWorkflowStore(pool);
  const error = await t.throwsAsync(store.findNamespace("default"), { instanceOf: HeadraceError });
  t.is(error.reason, "DATABASE_UNAVAILABLE");
  t.true(error.retryable);
});
