import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import test, { type ExecutionContext } from "ava";
import { makeTestDirectory } from "../support/database.js";
import { CLI_PATH, runCli } from "../support/run-cli.js";
import { repositoryRoot } from "../support/source-files.js";

const LAUNCHER = join(repositoryRoot, ".ci/quickstart.mjs");

/** What `npm run quickstart` runs, in a current folder that the tests of this file share. */
const home = await makeTestDirectory();

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly lastLine: string;
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Called when the execution has started, with what was printed so far. */
  readonly onStarted?: (child: ChildProcess, stdout: string) => void;
}

async function quickstart(args: readonly string[], { env = {}, onStarted }: RunOptions = {}): Promise<Run> {
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    cwd: home,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  createInterface(child.stdout).on("line", (line) => {
    lines.push(line);
    if (line.startsWith("  trace ")) onStarted?.(child, lines.join("\n"));
  });
  const [stderr, [code]] = await Promise.all([
    text(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { code, stdout: lines.join("\n"), stderr, lastLine: lines.at(-1) ?? "" };
}

/** Writes files below a new folder of `home` and answers the folder. */
function makeFolder(name: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = join(home, "folders", name);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

/** Files of zeros that take long to measure and no space. */
function makeLargeFiles(name: string, count: number, bytes: number): string {
  const files = Array.from({ length: count }, (_, i) => `large-${i}.bin`);
  const folder = makeFolder(name, Object.fromEntries(files.map((file) => [file, ""])));
  for (const file of files) truncateSync(join(folder, file), bytes);
  return folder;
}

/** The numbers of a row of the table: files, lines and bytes. */
function rowOf(stdout: string, name: string): number[] | undefined {
  const line = stdout.split("\n").find((each) => each.startsWith(`  ${name} `));
  return line
    ?.slice(name.length + 2)
    .trim()
    .split(/\s+/)
    .slice(0, 3)
    .map((number) => Number(number.replaceAll(",", "")));
}

/** Newlines and bytes of files together, as wc counts them. */
function wc(folder: string, paths: readonly string[]): number[] {
  const counted = execFileSync("wc", ["-l", "-c", "--", ...paths], { cwd: folder, encoding: "utf8" });
  const total = counted.trimEnd().split("\n").at(-1) ?? "";
  return total.trim().split(/\s+/).slice(0, 2).map(Number);
}

const processesIn = (stdout: string): number[] =>
  [...stdout.matchAll(/\(process (\d+)\)/g)].map(([, pid]) => Number(pid));

/** Nothing runs any more, and nothing is there that was not before. */
function assertNothingLeft(t: ExecutionContext, { stdout }: Run): void {
  for (const pid of processesIn(stdout)) t.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  t.deepEqual(readdirSync(home).toSorted(), [".headrace", "folders"]);
  t.deepEqual(readdirSync(join(home, ".headrace")), ["postgres"], "the data directory is free");
  t.false(readdirSync(join(home, ".headrace/postgres")).includes("postmaster.pid"), "PostgreSQL has stopped");
}

const COUNTED: Readonly<Record<string, string | Uint8Array>> = {
  "main.ts": "const a = 1;\nconst b = 2;\n",
  "no-newline-at-the-end.ts": "const c = 3;",
  "empty.py": "",
  "windows.py": "a = 1\r\nb = 2\r\n",
  "deep/er/and deeper/ümläut.md": "# ü\n\ntext\n",
  "random.bin": randomBytes(150_000),
  ".hidden-file": "counts\n",
  "-l": "a name like an option\n",
  "large.json": `${JSON.stringify(Array.from({ length: 30_000 }, (_, i) => i))}\n`,
};
const LEFT_OUT = { "node_modules/x/index.js": "no\n", "dist/x.js": "no\n", ".cache/x.js": "no\n" };

const executions = { completed: "", interrupted: "" };

test.serial("a census counts what wc counts, tells how it went, and leaves nothing running", async (t) => {
  const folder = makeFolder("plain", { ...COUNTED, ...LEFT_OUT, "deep/.git/config": "no\n" });
  symlinkSync("main.ts", join(folder, "link.ts"));
  // What is set for another server must not get in the way.
  const env = {
    DATABASE_URL: "postgres://nowhere/other",
    HEADRACE_ADDRESS: "nowhere:1",
    HEADRACE_NAMESPACE: "x",
  };
  const run = await quickstart([folder], { env });
  t.is(run.code, 0, run.stdout + run.stderr);
  const paths = Object.keys(COUNTED);
  t.deepEqual(rowOf(run.stdout, "total"), [paths.length, ...wc(folder, paths)]);
  t.deepEqual(rowOf(run.stdout, "TypeScript"), [
    2,
    ...wc(
      folder,
      paths.filter((path) => path.endsWith(".ts")),
    ),
  ]);
  t.deepEqual(rowOf(run.stdout, "Python"), [
    2,
    ...wc(
      folder,
      paths.filter((path) => path.endsWith(".py")),
    ),
  ]);
  t.true(run.stdout.includes("all files but those of node_modules, dist and hidden folders"));
  t.true(run.stdout.includes("left out: 1 links"));
  const shards = [.../census-1 (\d+), census-2 (\d+); [\d.]+ s/.exec(run.stdout)!].slice(1).map(Number);
  t.is(
    shards.reduce((sum, each) => sum + each, 0),
    8,
  );
  t.regex(run.stdout, /^ {2}trace {6}[0-9a-f]{32}$/m);
  const [, executionId = ""] = /^quickstart: COMPLETED ([0-9a-f-]{36})$/.exec(run.lastLine) ?? [];
  t.true(run.stdout.includes(`headrace get ${executionId} --tasks`));
  t.is(processesIn(run.stdout).length, 3);
  assertNothingLeft(t, run);
  executions.completed = executionId;
});

test.serial("in a git work tree only tracked files count", async (t) => {
  const folder = makeFolder("git", { ...COUNTED, "untracked.ts": "no\n", "gone.ts": "no\n" });
  const git = (...args: string[]): void => void execFileSync("git", args, { cwd: folder, stdio: "ignore" });
  symlinkSync("main.ts", join(folder, "link.ts"));
  git("init");
  git("add", "--", ...Object.keys(COUNTED), "link.ts", "gone.ts");
  execFileSync("rm", [join(folder, "gone.ts")]);
  const run = await quickstart([folder]);
  t.is(run.code, 0, run.stdout + run.stderr);
  t.deepEqual(rowOf(run.stdout, "total"), [Object.keys(COUNTED).length, ...wc(folder, Object.keys(COUNTED))]);
  t.true(run.stdout.includes("counted: the files that git tracks"));
  t.true(run.stdout.includes("could not be read: gone.ts\n"));
});

test.serial("an empty folder is a census of nothing, given as npm gives where the user was", async (t) => {
  mkdirSync(join(home, "folders/empty"), { recursive: true });
  const run = await quickstart(["empty"], { env: { INIT_CWD: join(home, "folders") } });
  t.is(run.code, 0, run.stdout + run.stderr);
  t.deepEqual(rowOf(run.stdout, "total"), [0, 0, 0]);
});

test.serial("Ctrl-C cancels the execution, stops everything and says so", async (t) => {
  const folder = makeLargeFiles("interrupted", 8, 2 ** 34);
  const run = await quickstart([folder], { onStarted: (child) => child.kill("SIGINT") });
  t.is(run.code, 130, run.stdout + run.stderr);
  t.is(run.lastLine, "quickstart: FAILED stopped by SIGINT");
  assertNothingLeft(t, run);
  executions.interrupted = /^ {2}execution {2}(\S+)$/m.exec(run.stdout)?.[1] ?? "";
});

test.serial("a worker that is killed loses nothing: the other one goes on", async (t) => {
  const folder = makeLargeFiles("killed", 8, 2 ** 27);
  const run = await quickstart([folder], {
    onStarted: (_, stdout) => process.kill(processesIn(stdout)[1]!, "SIGKILL"),
  });
  t.is(run.code, 0, run.stdout + run.stderr);
  t.true(run.stdout.includes("census-1 ended with SIGKILL"));
  t.deepEqual(rowOf(run.stdout, "total"), [8, 0, 2 ** 30]);
  assertNothingLeft(t, run);
});

test.serial("what the quickstart ran can be looked at afterwards, as it says", async (t) => {
  const dataDir = join(home, ".headrace");
  const dev = spawn(process.execPath, [CLI_PATH, "dev", "--port", "0", "--data-dir", dataDir], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const closed = once(dev, "close");
  const [ready] = (await once(createInterface(dev.stdout), "line")) as [string];
  const address = ready.split(" ").at(-1) ?? "";
  const get = (id: string, ...args: string[]): Promise<{ stdout: string }> =>
    runCli(["get", id, "--address", address, ...args]);
  t.regex((await get(executions.completed)).stdout, /^status\s+COMPLETED$/m);
  const tasks = (await get(executions.completed, "--tasks")).stdout.trimEnd().split("\n");
  t.is(tasks.filter((line) => line.includes("COMPLETED")).length, 10);
  t.regex((await get(executions.interrupted)).stdout, /^status\s+CANCELLED$/m);

  const second = await quickstart([join(home, "folders/plain")]);
  t.is(second.code, 1);
  t.regex(
    second.lastLine,
    /^quickstart: FAILED .* is in use by process \d+, which answers at .*HEADRACE_DATA_DIR/,
  );
  dev.kill("SIGTERM");
  await closed;
});

for (const [what, args, code, message] of [
  ["a folder that is not there", ["/nowhere/at/all"], 1, "/nowhere/at/all does not exist: give a folder"],
  ["a file", [LAUNCHER], 1, `${LAUNCHER} is not a folder: give the one that it is in`],
  ["two folders", ["a", "b"], 2, "one folder is expected, not 2"],
  ["an unknown option", ["--folder"], 2, "Unknown option '--folder'"],
] as const) {
  test(`${what} is refused before anything starts`, async (t) => {
    const run = await quickstart(args);
    t.is(run.code, code);
    t.true(run.lastLine.startsWith(`quickstart: FAILED ${message}`), run.lastLine);
    t.is(run.stdout.split("\n").length, 1);
  });
}
