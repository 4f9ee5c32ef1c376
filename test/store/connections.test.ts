import { once } from "node:events";
import net from "node:net";
import test from "ava";
import { HeadraceError } from "../../server/core/errors.js";
import { BEGIN, COMMIT } from "../../server/store/client-work.js";
import { openListener } from "../../server/store/listener.js";
import { openPipeline, type PipelineConnection } from "../../server/store/pipeline-client.js";
import { DatabasePool } from "../../server/store/pool.js";
import { ConnectionLostError } from "../../server/store/sql-errors.js";
import { waitForDatabase } from "../../server/store/wait-for-database.js";
import { useProxy } from "../support/database-proxy.js";
import { availablePostgres, useDatabase, type TestDatabase } from "../support/database.js";

const sql = (text: string): { text: string } => ({ text });

/** Ends the sessions of one purpose as an administrator would, or a failing server. */
async function terminate({ pool, config }: TestDatabase, purpose: string): Promise<void> {
  await pool.query(
    sql(`select pg_terminate_backend(pid, 5000) from pg_stat_activity
          where datname = current_database() and application_name = $1`),
    [`${config.applicationName} ${purpose}`],
  );
}

/** Something that happens later and more than once. */
function events<T>(): { push: (value: T) => void; next: () => Promise<T> } {
  const queue: T[] = [];
  let wake = (): void => undefined;
  return {
    push: (value) => {
      queue.push(value);
      wake();
    },
    next: async () => {
      while (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return queue.shift()!;
    },
  };
}

for (const pipeline of [true, false]) {
  const mode = pipeline ? "with pipelining" : "without pipelining";

  test(`${mode}: a burst is one transaction, and runs of several callers never mix`, async (t) => {
    const { config } = await useDatabase(t);
    const connection = openPipeline({ ...config, pipeline }, { purpose: "lane" });
    t.teardown(() => connection.close());
    await connection.run((query) => query(sql("create table numbers (n int)")));
    const add = (n: number): Promise<unknown> =>
      connection.run(async (query) => {
        const opened = query(BEGIN);
        const before = await query<{ count: number }>(sql("select count(*) from numbers"));
        await Promise.all([opened, query(sql("insert into numbers values ($1)"), [n]), query(COMMIT)]);
        return before.rows[0]?.count;
      });
    t.deepEqual(await Promise.all([1, 2, 3].map(add)), [0, 1, 2]);
  });

  test(`${mode}: work that fails leaves no transaction behind`, async (t) => {
    const { config, pool } = await useDatabase(t);
    const connection = openPipeline({ ...config, pipeline }, { purpose: "lane" });
    t.teardown(() => connection.close());
    await pool.query(sql("create table numbers (n int primary key)"));
    for (const run of [connection.run.bind(connection), pool.withClient.bind(pool)]) {
      const failing = run(async (query) => {
        void query(BEGIN);
        void query(sql("insert into numbers values (1)"));
        throw new Error("changed my mind");
      });
      await t.throwsAsync(failing, { message: "changed my mind" });
      const open = run(async (query) => {
        await query(BEGIN);
        await query(sql("insert into numbers values (1)"));
      });
      await t.throwsAsync(open, { message: /left open/ });
      const burst = run((query) =>
        Promise.all([query(BEGIN), query(sql("select 1 / 0")), query(sql("select 1")), query(COMMIT)]),
      );
      await t.throwsAsync(burst, { code: "22012" });
      const unnoticed = run(async (query) => {
        await query(BEGIN);
        await query(sql("select 1 / 0")).catch(() => undefined);
        await query(COMMIT);
      });
      await t.throwsAsync(unnoticed, { name: "RolledBackError" });
      t.is((await run((query) => query(sql("select from numbers")))).rowCount, 0);
    }
  });

  test(`${mode}: what waits on a connection that is lost is told so, and the next use reconnects`, async (t) => {
    const database = await useDatabase(t);
    const connection = openPipeline({ ...database.config, pipeline }, { purpose: "lane" });
    t.teardown(() => connection.close());
    const slow = connection.run((query) =>
      Promise.allSettled([query(sql("select pg_sleep(30)")), query(sql("select 1")), query(COMMIT)]),
    );
    await waitForActivity(database, "pg_sleep");
    await terminate(database, "lane");
    for (const result of await slow) {
      t.true(result.status === "rejected" && result.reason instanceof ConnectionLostError);
    }
    t.is(await backendOf(connection).then((pid) => typeof pid), "number");

    const idle = await backendOf(connection);
    await terminate(database, "lane");
    t.not(await eventually(() => backendOf(connection)), idle);
  });
}

async function backendOf(connection: PipelineConnection): Promise<number | undefined> {
  const { rows } = await connection.run((query) =>
    query<{ pid: number }>(sql("select pg_backend_pid() as pid")),
  );
  return rows[0]?.pid;
}

/** A session that was ended while idle may be noticed only by its next use. */
async function eventually<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof ConnectionLostError)) throw error;
    return call();
  }
}

async function waitForActivity({ pool }: TestDatabase, text: string): Promise<void> {
  for (;;) {
    const { rowCount } = await pool.query(
      sql(
        "select from pg_stat_activity where state = 'active' and query like $1 and pid <> pg_backend_pid()",
      ),
      [`%${text}%`],
    );
    if (rowCount !== null && rowCount > 0) return;
  }
}

for (const version of availablePostgres()) {
  test(`PostgreSQL ${version}: connections carry their settings`, async (t) => {
    const { config, pool } = await useDatabase(t, { version });
    const hot = openPipeline(config, { purpose: "hot lane", hot: true });
    t.teardown(() => hot.close());
    const names = ["search_path", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
    const settings = [...names, "jit", "enable_seqscan", "enable_hashjoin", "application_name"];
    const ask = sql(`select ${settings.map((name) => `current_setting('${name}') as ${name}`).join(", ")}`);
    const common = {
      search_path: "headrace",
      statement_timeout: "10s",
      lock_timeout: "2s",
      idle_in_transaction_session_timeout: "5s",
      jit: "off",
    };
    t.deepEqual((await pool.query(ask)).rows[0], {
      ...common,
      enable_seqscan: "off",
      enable_hashjoin: "on",
      application_name: "headrace test pool",
    });
    t.deepEqual((await hot.run((query) => query(ask))).rows[0], {
      ...common,
      enable_seqscan: "off",
      enable_hashjoin: "off",
      application_name: "headrace test hot lane",
    });
  });
}

test("int8 is a number, and one that a number cannot hold is an error", async (t) => {
  const { pool } = await useDatabase(t);
  t.deepEqual((await pool.query(sql("select 9007199254740991::int8 as n"))).rows, [{ n: 9007199254740991 }]);
  await t.throwsAsync(pool.query(sql("select 9007199254740993::int8 as n")), { message: /beyond 2\^53/ });
  t.deepEqual((await pool.query(sql("select 1 as n"))).rows, [{ n: 1 }]);
});

test("a pool that stays busy refuses with its size, and survives the loss of a lent connection", async (t) => {
  const database = await useDatabase(t);
  const pool = new DatabasePool({ ...database.config, poolMax: 1, acquireTimeoutMs: 1_000 }, () => undefined);
  t.teardown(() => pool.close());
  await pool.withClient(async (query) => {
    await query(sql("select 1"));
    const error = await t.throwsAsync(pool.query(sql("select 1")), { instanceOf: HeadraceError });
    t.is(error.reason, "OVERLOADED");
    t.is(error.facts.limit, 1);
    t.regex(error.message, /All 1 database connections/);
  });
  await t.throwsAsync(pool.query(sql("select 1 / 0")), { code: "22012" });
  t.is(pool.usage.open, 1, "an error of a statement costs no connection");
  await t.throwsAsync(pool.query(sql("select pg_terminate_backend(pg_backend_pid())")), {
    instanceOf: ConnectionLostError,
  });
  t.is((await pool.query(sql("select 1"))).rowCount, 1);
});

test("an idle pool connection that is cut is replaced and mentioned", async (t) => {
  const database = await useDatabase(t);
  const said = events<string>();
  const config = { ...database.config, applicationName: "cut" };
  const pool = new DatabasePool(config, said.push);
  t.teardown(() => pool.close());
  await pool.query(sql("select 1"));
  await terminate({ ...database, config }, "pool");
  t.regex(await said.next(), /idle database connection broke/i);
  t.is((await pool.query(sql("select 1"))).rowCount, 1);
});

test("a pool connection that PostgreSQL ends while it is being lent does not end the process", async (t) => {
  const { config } = await useDatabase(t);
  const ready = Buffer.from("Z\0\0\0\x05I", "latin1");
  const farewell = Buffer.from("SFATAL\0C57P01\0Mgoing down\0\0", "latin1");
  const fatal = Buffer.alloc(5);
  fatal.write("E");
  fatal.writeInt32BE(farewell.length + 4, 1);
  let isEnding = true;
  const proxied = await useProxy(t, config, {
    toClient: (chunk) =>
      isEnding && chunk.includes(ready) ? Buffer.concat([chunk, fatal, farewell]) : chunk,
  });
  const pool = new DatabasePool(proxied, () => undefined);
  t.teardown(() => pool.close());
  await t.throwsAsync(pool.query(sql("select 1")), { instanceOf: ConnectionLostError });
  isEnding = false;
  t.is((await pool.query(sql("select 1"))).rowCount, 1);
});

test("many notifications at once go out one after the other", async (t) => {
  const { config } = await useDatabase(t);
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", onWarning);
  t.teardown(() => process.off("warning", onWarning));
  const received = events<string>();
  const connected = events<true>();
  const listener = openListener(config, {
    channels: ["work"],
    onNotify: (_channel, payload) => received.push(payload),
    onConnected: () => connected.push(true),
    log: () => undefined,
  });
  t.teardown(() => listener.close());
  await connected.next();
  const payloads = Array.from({ length: 20 }, (_, n) => String(n));
  t.true((await Promise.all(payloads.map((payload) => listener.notify("work", payload)))).every(Boolean));
  for (const payload of payloads) t.is(await received.next(), payload);
  t.deepEqual(
    warnings.filter((message) => message.includes("already executing")),
    [],
  );
});

test("notifications arrive, and again after the connection was cut", async (t) => {
  const database = await useDatabase(t);
  const received = events<string>();
  const connected = events<true>();
  const said = events<string>();
  const listener = openListener(database.config, {
    channels: ["work", "end"],
    onNotify: (channel, payload) => received.push(`${channel}:${payload}`),
    onConnected: () => connected.push(true),
    log: said.push,
  });
  t.teardown(() => listener.close());
  await connected.next();
  t.true(await listener.notify("work", "a 'quoted' one"));
  t.is(await received.next(), "work:a 'quoted' one");

  await terminate(database, "listen");
  t.regex(await said.next(), /terminat/);
  await connected.next();
  t.true(await listener.notify("end", ""));
  t.is(await received.next(), "end:");
  await t.throwsAsync(listener.notify("work", "x".repeat(8_000)), { instanceOf: RangeError });
});

test("notifications of another schema are not heard", async (t) => {
  const { config } = await useDatabase(t);
  const received = events<string>();
  const open = async (schema: string): Promise<ReturnType<typeof openListener>> => {
    const connected = events<true>();
    const listener = openListener(
      { ...config, schema },
      {
        channels: ["work"],
        onNotify: (_channel, payload) => received.push(`${schema} ${payload}`),
        onConnected: () => connected.push(true),
        log: () => undefined,
      },
    );
    t.teardown(() => listener.close());
    await connected.next();
    return listener;
  };
  const [one, two] = [await open("one"), await open("two")];
  await one.notify("work", "first");
  await two.notify("work", "second");
  t.deepEqual([await received.next(), await received.next()].sort(), ["one first", "two second"]);
});

test("a listener whose line falls silent connects again", async (t) => {
  const { config } = await useDatabase(t);
  const proxy = await silentProxy(new URL(config.url).searchParams.get("host")!);
  t.teardown(() => proxy.close());
  const database = new URL(config.url).pathname;
  const connected = events<true>();
  const listener = openListener(
    { ...config, url: `postgres://postgres@127.0.0.1:${proxy.port}${database}` },
    {
      channels: ["work"],
      onNotify: () => undefined,
      onConnected: () => connected.push(true),
      log: () => undefined,
      heartbeatMs: 20,
      answerTimeoutMs: 1_000,
    },
  );
  t.teardown(() => listener.close());
  await connected.next();
  proxy.silence();
  await connected.next();
  t.is(proxy.accepted(), 2);
});

/** Passes bytes on to a socket until it is silenced; connections made later work. */
async function silentProxy(socketDir: string): Promise<{
  port: number;
  silence: () => void;
  accepted: () => number;
  close: () => void;
}> {
  const pairs = new Set<[net.Socket, net.Socket]>();
  let accepted = 0;
  const server = net.createServer((near) => {
    accepted += 1;
    const far = net.connect(`${socketDir}/.s.PGSQL.5432`);
    near.pipe(far).on("error", () => near.destroy());
    far.pipe(near).on("error", () => far.destroy());
    pairs.add([near, far]);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as net.AddressInfo).port,
    silence: () => {
      for (const [near, far] of pairs) {
        near.unpipe(far);
        far.unpipe(near);
      }
    },
    accepted: () => accepted,
    close: () => {
      server.close();
      for (const [near, far] of pairs) {
        near.destroy();
        far.destroy();
      }
    },
  };
}

test("a listener that is switched off does nothing", async (t) => {
  const { config } = await useDatabase(t);
  const listener = openListener(config, {
    channels: ["work"],
    onNotify: () => t.fail(),
    onConnected: () => t.fail(),
    log: () => t.fail(),
    enabled: false,
  });
  t.false(await listener.notify("work", "x"));
  t.false(listener.connected);
  await listener.close();
});

test("a listener can be closed while there is no database", async (t) => {
  const { config } = await useDatabase(t);
  const said = events<string>();
  const listener = openListener(
    { ...config, url: "postgres:///x?host=/nowhere&user=u" },
    { channels: [], onNotify: () => t.fail(), onConnected: () => t.fail(), log: said.push },
  );
  t.regex(await said.next(), /ENOENT/);
  t.false(await listener.notify("work", "x"));
  await listener.close();
});

test("waiting says why once and then now and again, and goes on when the database comes", async (t) => {
  const { config } = await useDatabase(t);
  const said = events<string>();
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  const url = `postgres://postgres:secret@127.0.0.1:${port}${new URL(config.url).pathname}`;
  const waiting = waitForDatabase({ ...config, url }, { log: said.push, retryMs: 5, tellEveryMs: 20 });
  const first = await said.next();
  t.regex(first, new RegExp(`Waiting for PostgreSQL at postgres@127.0.0.1:${port}/t_.*ECONNREFUSED`));
  t.false(first.includes("secret"));
  t.is(await said.next(), first);

  const socketDir = new URL(config.url).searchParams.get("host")!;
  const late = net.createServer((near) => {
    const far = net.connect(`${socketDir}/.s.PGSQL.5432`);
    near.pipe(far).pipe(near);
  });
  t.teardown(() => late.close());
  late.listen(port, "127.0.0.1");
  await waiting;
  let last = await said.next();
  while (last === first) last = await said.next();
  t.regex(last, /answers after/);
});

test("what waiting cannot cure fails at once and says what is wrong", async (t) => {
  const { config } = await useDatabase(t);
  const never = { log: () => t.fail("it must not wait") };
  const missing = config.url.replace(/\/\/\/t_\w+/, "///no_such_database");
  const cases: Array<[string, RegExp]> = [
    [missing, /has no database "no_such_database"; create it first/],
    [config.url.replace("user=postgres", "user=nobody"), /refuses the user|role "nobody"/],
    ["mysql://x", /must begin with postgres:/],
  ];
  for (const [url, message] of cases) {
    const error = await t.throwsAsync(waitForDatabase({ ...config, url }, never), {
      instanceOf: HeadraceError,
    });
    t.is(error.reason, "DATABASE_UNUSABLE");
    t.regex(error.message, message);
  }
});

test("waiting can be given up", async (t) => {
  const { config } = await useDatabase(t);
  const stop = new AbortController();
  const url = "postgres:///x?host=/nowhere&user=u";
  const waiting = waitForDatabase({ ...config, url }, { log: () => stop.abort(), signal: stop.signal });
  const error = await t.throwsAsync(waiting, { instanceOf: HeadraceError });
  t.is(error.reason, "DATABASE_UNAVAILABLE");
});
