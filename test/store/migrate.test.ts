import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import test, { type ExecutionContext } from "ava";
import { HeadraceError } from "../../server/core/errors.js";
import { clientConfig } from "../../server/store/connection.js";
import { withDedicatedClient } from "../../server/store/dedicated-client.js";
import { migrate, pendingMigrations } from "../../server/store/migrate.js";
import { readMigrations } from "../../server/store/migration-files.js";
import { allStatements, parseStatements, statement } from "../../server/store/statements.js";
import { availablePostgres, useDatabase } from "../support/database.js";

const quiet = { log: () => undefined, allowUnsafeDurability: true };
const ownNames = readMigrations().map((file) => file.name);

async function migrationDirectory(t: ExecutionContext, files: Record<string, string>): Promise<URL> {
  const directory = await mkdtemp(join(tmpdir(), "headrace-migrations-"));
  t.teardown(() => rm(directory, { recursive: true }));
  for (const [name, sql] of Object.entries(files)) await writeFile(join(directory, name), sql);
  return pathToFileURL(`${directory}/`);
}

for (const version of availablePostgres()) {
  test(`PostgreSQL ${version}: several servers migrate at once and one does it`, async (t) => {
    const { config } = await useDatabase(t, { version, migrated: false });
    t.deepEqual([...(await pendingMigrations(config, quiet))], ownNames);
    const results = await Promise.all([1, 2, 3].map(() => migrate(config, quiet)));
    t.deepEqual(results.map((applied) => applied.length).sort(), [0, 0, ownNames.length]);
    t.deepEqual(await migrate(config, quiet), []);
    t.deepEqual(await pendingMigrations(config, quiet), []);
  });

  test(`PostgreSQL ${version}: every statement can be prepared`, async (t) => {
    const { config } = await useDatabase(t, { version });
    await withDedicatedClient(config, { purpose: "test" }, async (query) => {
      for (const { name, text } of allStatements().values()) {
        await t.notThrowsAsync(query({ text: `prepare "${name}" as ${text}` }), name);
      }
    });
    t.true(allStatements().size > 0);
  });
}

test("a waiting server sees that another one works, and goes on after it", async (t) => {
  const { config } = await useDatabase(t, { migrated: false });
  const said: string[] = [];
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const waits = new Promise<void>((resolve) => {
    void withDedicatedClient(config, { purpose: "test" }, async (query) => {
      await query({ text: "select pg_advisory_lock(hashtextextended('headrace migrate headrace', 0))" });
      resolve();
      await held;
    });
  });
  await waits;
  const migration = migrate(config, {
    allowUnsafeDurability: true,
    log: (message) => {
      said.push(message);
      if (message.includes("waiting")) release();
    },
  });
  t.deepEqual([...(await migration)], ownNames);
  t.true(said.some((message) => message.includes("Another server is migrating")));
});

test("a failing migration changes nothing, and a lock row left behind does not stop the next try", async (t) => {
  const { config, pool } = await useDatabase(t, { migrated: false });
  const broken = await migrationDirectory(t, {
    "0000-first.sql": "create table first (question text default 'why?');",
    "0001-second.sql": "create table second (id int); select * from missing;",
  });
  await t.throwsAsync(migrate(config, { ...quiet, directory: broken }), { message: /missing/ });
  t.deepEqual(await pendingMigrations(config, { ...quiet, directory: broken }), [
    "0000-first",
    "0001-second",
  ]);
  await pool.query({ text: "update migrations_lock set is_locked = 1" });
  const mended = await migrationDirectory(t, {
    "0000-first.sql": "create table first (question text default 'why?');",
    "0001-second.sql": "create table second (id int);",
  });
  t.is((await migrate(config, { ...quiet, directory: mended })).length, 2);
  await pool.query({ text: "insert into first default values" });
  t.is((await pool.query({ text: "select question from first" })).rows[0]?.question, "why?");
});

test("a schema that a newer program has migrated is refused", async (t) => {
  const { config } = await useDatabase(t);
  const older = await migrationDirectory(t, { "0000-other.sql": "select 1;" });
  for (const call of [migrate, pendingMigrations]) {
    const error = await t.throwsAsync(call(config, { ...quiet, directory: older }), {
      instanceOf: HeadraceError,
    });
    t.is(error.reason, "DATABASE_UNUSABLE");
    t.regex(error.message, /newer than this program.*0000-workflows/);
  }
});

test("schemas live side by side, and only plain names are taken", async (t) => {
  const { config, pool } = await useDatabase(t);
  const other = { ...config, schema: "other" };
  t.deepEqual([...(await migrate(other, quiet))], ownNames);
  const { rows } = await pool.query({
    text: "select table_schema from information_schema.tables where table_name = 'workflows' order by 1",
  });
  t.deepEqual(
    rows.map((row): unknown => row.table_schema),
    ["headrace", "other"],
  );
  for (const schema of ["", "Other", 'x"; drop schema headrace', "pg_temp", "a".repeat(64)]) {
    const error = t.throws(() => clientConfig({ ...config, schema }, { purpose: "test" }), {
      instanceOf: HeadraceError,
    });
    t.is(error.reason, "DATABASE_UNUSABLE", schema);
  }
});

test("a server that may lose commits is refused unless that is allowed", async (t) => {
  const { config } = await useDatabase(t);
  const said: string[] = [];
  await t.throwsAsync(migrate(config, { log: () => undefined }), { message: /fsync=off/ });
  await migrate(config, { log: (message) => said.push(message), allowUnsafeDurability: true });
  t.regex(said.join(), /fsync=off/);
});

test("migration files have a number of their own", async (t) => {
  const twice = await migrationDirectory(t, { "0000-a.sql": "", "0000-b.sql": "" });
  t.throws(() => readMigrations(twice), { message: /number 0000/ });
  const unnamed = await migrationDirectory(t, { "first.sql": "" });
  t.throws(() => readMigrations(unnamed), { message: /NNNN-name/ });
});

test("statements are cut out of their file by name", (t) => {
  const source =
    "-- A file.\n\n-- name: one_thing\n-- why\nselect 1\n  -- how\n  where true;\n-- name: other\nselect 2";
  t.deepEqual(parseStatements(source, "x.sql"), [
    { name: "one_thing", text: "select 1\n\n  where true" },
    { name: "other", text: "select 2" },
  ]);
  t.throws(() => parseStatements("select 1;\n-- name: a\nselect 1", "x.sql"), {
    message: /before the first/,
  });
  t.throws(() => parseStatements("-- name: Bad Name\nselect 1", "x.sql"), { message: /snake_case/ });
  t.throws(() => parseStatements("-- name: empty\n-- only this\n", "x.sql"), { message: /empty/ });
  t.throws(() => statement("no_such_statement"), { message: /no_such_statement/ });
});
