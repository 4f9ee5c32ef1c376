import { createServer } from "node:net";
import test from "ava";
import { useDatabase } from "../support/database.js";
import { runCli } from "../support/run-cli.js";
import { startServer } from "../support/server-process.js";

const NOWHERE = "postgres://user:secret@127.0.0.1:1/none";

for (const [what, args, env, code, said] of [
  [
    "an unknown variable",
    ["serve"],
    { DATABASE_URL: NOWHERE, HEADRACE_LEASES: "3s" },
    2,
    /HEADRACE_LEASES.*HEADRACE_LEASE\b/,
  ],
  ["an unknown flag", ["serve", "--beat-timeot", "3s"], {}, 2, /--beat-timeot[^]*--beat-timeout/],
  ["an unknown command", ["serv"], {}, 2, /serv[^]*serve/],
  ["a URL that is none", ["serve"], { DATABASE_URL: "localhost/db" }, 2, /DATABASE_URL/],
  ["no URL", ["serve"], {}, 2, /DATABASE_URL is not set[^]*headrace dev/],
  [
    "a value out of range",
    ["serve"],
    { DATABASE_URL: NOWHERE, HEADRACE_PORT: "70000" },
    2,
    /HEADRACE_PORT.*70000/,
  ],
] as ReadonlyArray<[string, string[], Record<string, string>, number, RegExp]>) {
  test(`the server refuses ${what} and says what is meant`, async (t) => {
    const result = await runCli(args, { env });
    t.is(result.code, code);
    t.regex(result.stderr, said);
    t.notRegex(result.stderr, /secret|\n\s+at /, "neither a password nor a stack");
    t.is(result.stdout, "");
  });
}

test("a database that does not exist ends the start at once, and its password is not told", async (t) => {
  const { url } = await useDatabase(t, { durable: true });
  const missing = url.replace(/\/\/\/t_\w+\?/, "///missing?password=secret&");
  const { code, stderr } = await runCli(["serve", "--port", "0"], { env: { DATABASE_URL: missing } });
  t.is(code, 5);
  t.regex(stderr, /has no database "missing"; create it first/);
  t.notRegex(stderr, /secret/);
});

test("a port that is taken is named, with what to do", async (t) => {
  const { url: databaseUrl } = await useDatabase(t, { durable: true });
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  t.teardown(() => holder.close());
  const { port } = holder.address() as { port: number };
  const error = await t.throwsAsync(startServer(t, { databaseUrl, port }));
  t.regex(error.message, new RegExp(`ended with 5[^]*port ${port} of 127.0.0.1 is in use[^]*--port`));
});
