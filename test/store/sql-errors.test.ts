import { writeFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import { HeadraceError, type Reason, type StatusCode } from "../../server/core/errors.js";
import { describeAddress, parseDatabaseUrl } from "../../server/store/database-url.js";
import { decodePageToken, encodePageToken, type PagedList } from "../../server/core/page-token.js";
import {
  classifySqlError,
  constraintOf,
  messageOf,
  toHeadraceError,
  type SqlErrorKind,
} from "../../server/store/sql-errors.js";
import { useDatabase } from "../support/database.js";

const withCode = (code: string): Error => Object.assign(new Error("message with a secret"), { code });

test("each error of PostgreSQL has its class and its answer", (t) => {
  const rows: Array<[string, SqlErrorKind, Reason, StatusCode]> = [
    ["40001", "RETRYABLE", "DATABASE_CONTENTION", "ABORTED"],
    ["40P01", "RETRYABLE", "DATABASE_CONTENTION", "ABORTED"],
    ["55P03", "RETRYABLE", "DATABASE_CONTENTION", "ABORTED"],
    ["08006", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["57P01", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["57P02", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["57P03", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["53300", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["25006", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["ECONNREFUSED", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["ECONNRESET", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["EPIPE", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["ENOENT", "CONNECTION_LOST", "DATABASE_UNAVAILABLE", "UNAVAILABLE"],
    ["57014", "OTHER", "DATABASE_TIMEOUT", "DEADLINE_EXCEEDED"],
    ["25P03", "OTHER", "DATABASE_TIMEOUT", "DEADLINE_EXCEEDED"],
    ["53100", "OTHER", "OVERLOADED", "RESOURCE_EXHAUSTED"],
    ["53200", "OTHER", "OVERLOADED", "RESOURCE_EXHAUSTED"],
    ["22021", "OTHER", "MALFORMED_REQUEST", "INVALID_ARGUMENT"],
    ["54000", "OTHER", "MALFORMED_REQUEST", "INVALID_ARGUMENT"],
    ["23505", "UNIQUE_VIOLATION", "IDEMPOTENCY_CONFLICT", "ALREADY_EXISTS"],
    ["42501", "OTHER", "INTERNAL", "INTERNAL"],
    ["42P01", "OTHER", "INTERNAL", "INTERNAL"],
  ];
  for (const [code, kind, reason, status] of rows) {
    const error = withCode(code);
    t.is(classifySqlError(error), kind, code);
    const answer = toHeadraceError(error);
    t.is(answer.reason, reason, code);
    t.is(answer.code, status, code);
    t.is(answer.cause, error);
    t.false(answer.message.includes("secret"), code);
  }
  for (const message of ["Connection terminated unexpectedly", "timeout expired", "Query read timeout"]) {
    t.is(classifySqlError(new Error(message)), "CONNECTION_LOST");
  }
  const both = new AggregateError([withCode("ECONNREFUSED"), withCode("ECONNREFUSED")], "");
  t.is(classifySqlError(both), "CONNECTION_LOST");
  t.is(messageOf(both), "message with a secret");
  for (const thrown of [new Error("bug"), "text", undefined, null, { code: 7 }]) {
    t.is(classifySqlError(thrown), "OTHER");
    t.is(toHeadraceError(thrown).reason, "INTERNAL");
  }
  const own = new HeadraceError("DRAINING", "bye");
  t.is(toHeadraceError(own), own);
});

test("a real unique violation names its constraint", async (t) => {
  const { pool } = await useDatabase(t);
  const error: unknown = await t.throwsAsync(
    pool.query({ text: "insert into namespaces (name) values ('default')" }),
  );
  t.is(classifySqlError(error), "UNIQUE_VIOLATION");
  t.is(constraintOf(error), "namespaces_name_key");
  t.regex(toHeadraceError(error).message, /namespaces_name_key/);
});

test("a database URL is read as libpq reads it", async (t) => {
  const plain = { host: "localhost", port: 5432, password: undefined, ssl: false };
  t.deepEqual(parseDatabaseUrl("postgres://u@/d"), { ...plain, user: "u", database: "d" });
  t.deepEqual(parseDatabaseUrl("postgresql:///d"), { ...plain, user: undefined, database: "d" });
  t.deepEqual(parseDatabaseUrl("postgres://me@db"), { ...plain, host: "db", user: "me", database: "me" });
  t.like(parseDatabaseUrl("postgres://[::1]:6000/d"), { host: "::1", port: 6000 });
  t.deepEqual(parseDatabaseUrl("postgres:///d?host=/run/pg&user=u&port=6000"), {
    ...plain,
    host: "/run/pg",
    port: 6000,
    user: "u",
    database: "d",
  });
  t.like(parseDatabaseUrl("postgres://h/d?sslmode=require"), { ssl: { rejectUnauthorized: false } });
  t.like(parseDatabaseUrl("postgres://h/d?sslmode=verify-full"), { ssl: { rejectUnauthorized: true } });
  const directory = await mkdtemp(join(tmpdir(), "headrace-ca-"));
  t.teardown(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "ca.pem"), "CA");
  const withCa = parseDatabaseUrl(`postgres://h/d?sslmode=require&sslrootcert=${directory}/ca.pem`);
  t.like(withCa, { ssl: { ca: "CA", rejectUnauthorized: true } });
  t.is(describeAddress(parseDatabaseUrl("postgres://u:hush@h:1/d")), "u@h:1/d");
});

test("whatever a password contains, it arrives when encoded and never appears in a message", (t) => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (password) => {
      const { password: read } = parseDatabaseUrl(`postgres://u:${encodeURIComponent(password)}@h/d`);
      return read === password;
    }),
  );
  const secret = "hush%zz";
  for (const url of [
    `postgres://u:${secret}@h/d`,
    `postgres://u:${secret}@h:99999/d`,
    `postgres://u:hush%20@h:x y/d`,
    `mysql://u:${secret}@h/d`,
    `postgres://u:hush@h/d?sslmode=prefer`,
    `postgres://u:hush@h/d?timezone=x`,
    `postgres://u:hush@h/d?sslmode=require&sslcert=/nowhere`,
    `postgres://u:hush@h/d?port=0`,
    `postgres://h`,
    ``,
  ]) {
    const error = t.throws(() => parseDatabaseUrl(url), { instanceOf: HeadraceError }, url);
    t.is(error.reason, "DATABASE_UNUSABLE");
    t.regex(error.message, /^The database URL is not valid: /);
    t.false(error.message.includes("hush"), error.message);
  }
});

const LIST = { name: "things", filter: [1, "a"], kinds: ["integer", "uuid", "text"] } as const;

test("page tokens come back as they went, and only to their own list", (t) => {
  const tuple = fc.tuple(fc.maxSafeInteger(), fc.uuid(), fc.string({ maxLength: 200 }));
  fc.assert(
    fc.property(tuple, ([number, id, text]) => {
      if (text.includes("\0")) return;
      t.deepEqual(decodePageToken(LIST, encodePageToken(LIST, [number, id, text])), [number, id, text]);
    }),
  );
  t.is(decodePageToken(LIST, ""), undefined);
  const id = "0f7ae3ab-5a4c-4a37-8f5b-0a4d27cdd111";
  const token = encodePageToken(LIST, [1, id, "x"]);
  const refuse = (list: PagedList<typeof LIST.kinds>, broken: string): void => {
    const error = t.throws(() => decodePageToken(list, broken), { instanceOf: HeadraceError }, broken);
    t.is(error.reason, "INVALID_FIELD");
    t.is(error.facts.field, "page_token");
  };
  refuse({ ...LIST, filter: [2, "a"] }, token);
  refuse({ ...LIST, name: "others" }, token);
  refuse(LIST, token.slice(0, -4));
  refuse(LIST, "x".repeat(10_000));
  const content = JSON.parse(Buffer.from(token, "base64url").toString()) as unknown[];
  const forge = (...parts: unknown[]): string => Buffer.from(JSON.stringify(parts)).toString("base64url");
  refuse(LIST, forge(2, ...content.slice(1)));
  refuse(LIST, forge(...content.slice(0, 4)));
  refuse(LIST, forge(...content, "more"));
  refuse(LIST, forge(...content.slice(0, 2), "1", id, "x"));
  refuse(LIST, forge(...content.slice(0, 2), 1.5, id, "x"));
  refuse(LIST, forge(...content.slice(0, 2), 1, "' or true", "x"));
  refuse(LIST, forge(...content.slice(0, 2), 1, id, "a\0"));
  fc.assert(
    fc.property(fc.string(), (garbage) => {
      if (garbage !== "" && garbage !== token) t.throws(() => decodePageToken(LIST, garbage));
    }),
  );
});
