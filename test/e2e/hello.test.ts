import { existsSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import { Child } from "../support/child.js";
import { makeTestDirectory } from "../support/database.js";
import { CLI_PATH } from "../support/run-cli.js";

const EXAMPLE = fileURLToPath(
  new URL("../../../sdk/typescript/dist-test/examples/hello.js", import.meta.url),
);
const DEFAULT_PORT = 7_400;

const title = "the first program starts a server by itself, runs its workflow, and leaves nothing running";

// connect() prefers a server that is there.
const declare = (await listens(DEFAULT_PORT)) ? test.skip : test;
declare(title, async (t) => {
  const cwd = await makeTestDirectory();
  const env = { HEADRACE_BIN: CLI_PATH, HEADRACE_DATA_DIR: join(cwd, "data") };
  // The second run finds the data of the first.
  for (const run of ["first", "second"]) {
    const program = new Child(EXAMPLE, [], { cwd, env });
    t.teardown(() => program.kill());
    t.deepEqual(await program.exited, { code: 0, signal: null }, `${run}: ${program.stderr.all.join("\n")}`);
    t.deepEqual(program.stdout.all, ["sent ch_5"]);
    t.deepEqual(program.stderr.all, []);
    t.true(existsSync(join(cwd, "data/postgres/PG_VERSION")));
    t.false(existsSync(join(cwd, "data/postgres/postmaster.pid")), "PostgreSQL has ended");
  }
});

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
