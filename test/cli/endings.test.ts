import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import test from "ava";
import { CliError, EXIT, errorText } from "../../server/cli/cli-error.js";
import { createStyle } from "../../server/cli/style.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import { startDouble, unary } from "../support/grpc-double.js";
import { CLI_PATH, runCli } from "../support/run-cli.js";

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  for (const args of [["migrate"], ["migrate", "--check"]]) {
    test(`${signal} ends ${args.join(" ")} with 130 while it waits for the database`, async (t) => {
      // Somebody who accepts and says nothing, so that the first try is still under way.
      const silent = createServer().listen(0, "127.0.0.1");
      t.teardown(() => silent.close());
      await once(silent, "listening");
      const { port } = silent.address() as { port: number };
      const reached = once(silent, "connection");
      const result = await runCli(args, {
        env: { DATABASE_URL: `postgres://u:p@127.0.0.1:${port}/x` },
        during: async (child) => {
          const [socket] = (await reached) as [{ destroy(): void }];
          child.kill(signal);
          await once(child, "exit");
          socket.destroy();
        },
      });
      t.is(result.code, 130);
      t.is(result.stdout, "");
      t.regex(result.stderr, /error: interrupted before the migrations were through\n→ run it again/);
    });
  }
}

test("migrate can be interrupted between the tries to reach a database that is not there", async (t) => {
  const child = spawn(process.execPath, [CLI_PATH, "migrate"], {
    env: { PATH: process.env["PATH"] ?? "", DATABASE_URL: "postgres://u:p@127.0.0.1:1/x" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  await once(createInterface(child.stderr), "line");
  child.kill("SIGINT");
  t.deepEqual(await once(child, "close"), [130, null]);
});

test("dev on a file instead of a directory is wrong usage", async (t) => {
  for (const dataDir of [CLI_PATH, `${CLI_PATH}/below`]) {
    const result = await runCli(["dev", "--port", "0", "--data-dir", dataDir, "--log-level", "silent"]);
    t.is(result.code, 2);
    t.is(
      result.stderr,
      `error: The data directory ${dataDir} is not a directory.\n` +
        "→ choose another directory with --data-dir or HEADRACE_DATA_DIR\n",
    );
  }
});

for (const json of [[], ["--json"]]) {
  test(`output that cannot be written is one error with its own exit code: ${json.join("")}`, async (t) => {
    const listing = unary(ExecutionService.method.listExecutions, () => ({
      executions: [{ executionId: "01a2120f-c335-7259-885f-67590a1b2c3d" }],
    }));
    const double = await startDouble([listing]);
    t.teardown(() => double.stop());
    const script = 'exec "$0" "$@" > /dev/full';
    const args = [process.execPath, CLI_PATH, "list", "--address", double.address, ...json];
    const child = spawn("bash", ["-c", script, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "close")]);
    t.is(code, 74);
    if (json.length === 0) {
      t.regex(
        stderr,
        /^error: the output cannot be written: no space is left on the device\n→ make room.*\n$/,
      );
    } else t.like(JSON.parse(stderr), { error: { reason: "OUTPUT_UNWRITABLE", exitCode: 74 } });
  });
}

test("facts that the sentence has said are not told again", (t) => {
  const text = (message: string, facts: object): string =>
    errorText(new CliError(EXIT.refused, message, facts), createStyle(false));
  const inUse = text("port 7555 of 127.0.0.1 is in use", { field: "port", actual: "7555" });
  t.is(inUse, "error: port 7555 of 127.0.0.1 is in use\n");
  t.is(text(".headrace is in use by process 2169.", { actual: "2169" }).split("\n").length, 2);
  const said = text("The input has 110 bytes.", { field: "start.input", limit: "10", actual: "110" });
  t.is(said.split("\n")[1], "  field start.input, limit 10");
});
