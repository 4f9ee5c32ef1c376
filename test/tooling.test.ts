import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import test, { type ExecutionContext } from "ava";
import { repositoryRoot } from "./support/source-files.js";

interface TestResult {
  readonly status: "passed" | "failed" | "skipped";
  readonly title: string;
  readonly diagnostics: readonly string[];
}

interface FileResult {
  readonly source: string;
  readonly counts: Readonly<Record<TestResult["status"], number>>;
  readonly failures: readonly string[];
}

interface Tools {
  TapReader: new (onResult: (result: TestResult) => void) => {
    write(text: string): void;
    end(): void;
    readonly isComplete: boolean;
  };
  withLock: <T>(path: string, action: () => Promise<T>) => Promise<T>;
  isAtLeast: (actual: string, wanted: string) => boolean;
  isSameTree: (wanted: Record<string, object>, installed: Record<string, object>) => boolean;
  useTemporaryFolder: (env: NodeJS.ProcessEnv) => {
    readonly folder: string;
    leftovers(withinMs?: number): Promise<string[]>;
    remove(): void;
  };
  runSuite: (suite: object, options: object) => Promise<FileResult[]>;
}

/** The scripts in .ci/ are plain JavaScript, because they run before anything is compiled. */
async function load(name: string): Promise<Tools> {
  return (await import(pathToFileURL(join(repositoryRoot, ".ci", name)).href)) as Tools;
}

function temporaryFolder(t: ExecutionContext, parent = tmpdir()): string {
  mkdirSync(parent, { recursive: true });
  const folder = realpathSync(mkdtempSync(join(parent, "headrace-tooling-")));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

test("what tests leave in the temporary directory is found, and goes with it", async (t) => {
  const { useTemporaryFolder } = await load("temporary-folder.mjs");
  const env: NodeJS.ProcessEnv = {};
  const temporary = useTemporaryFolder(env);
  t.is(env["TMPDIR"], temporary.folder);
  for (const name of ["headrace-postgres-18", "other", "headrace-late", "headrace-left"])
    mkdirSync(join(temporary.folder, name));
  const removed = temporary.leftovers(150);
  rmSync(join(temporary.folder, "headrace-late"), { recursive: true });
  t.deepEqual(await removed, ["headrace-left"]);
  temporary.remove();
  t.false(existsSync(temporary.folder));
});

test("TAP is read in whatever pieces it comes", async (t) => {
  const { TapReader } = await load("tap.mjs");
  const tap = [
    "TAP version 13",
    "ok 1 - a › works",
    "not ok 2 - a › fails",
    "#   a log line",
    "  ---",
    "    name: AssertionError",
    "    details: |-",
    "      - 1",
    "  ...",
    "ok 3 - b › later # SKIP",
    "# b › a hook",
    ["not ok 4 - b › unwritten # TO", "DO"].join(""),
    "",
    "1..4",
    "# tests 4",
    "# fail 2",
  ].join("\n");
  for (const size of [1, 7, tap.length]) {
    const results: TestResult[] = [];
    const reader = new TapReader((result) => results.push(result));
    for (let at = 0; at < tap.length; at += size) reader.write(tap.slice(at, at + size));
    t.is(reader.isComplete, size !== tap.length || tap.includes("1..4"));
    reader.end();
    t.deepEqual(
      results.map(({ status, title }) => `${status} ${title}`),
      ["passed a › works", "failed a › fails", "skipped b › later", "failed b › unwritten"],
    );
    t.deepEqual(results[1]?.diagnostics, ["a log line", "name: AssertionError", "details: |-", "  - 1"]);
  }
});

test("TAP that breaks off is not complete, and keeps its last test", async (t) => {
  const { TapReader } = await load("tap.mjs");
  const results: TestResult[] = [];
  const reader = new TapReader((result) => results.push(result));
  reader.write("ok 1 - a\nnot ok 2 - b");
  reader.end();
  t.is(results.length, 2);
  t.false(reader.isComplete);
});

/** Files that pass, fail and break in every way in which ava can end. */
const SUITE: Readonly<Record<string, string>> = {
  "package.json":
    '{"type":"module","ava":{"files":["out/**/*.test.js"],"timeout":"TIMEOUT","workerThreads":false}}',
  "out/core/good.test.js": 'import test from "ava"; test("one", t => t.pass()); test("two", t => t.pass());',
  "out/core/bad.test.js":
    'import test from "ava"; test("one", t => t.pass()); test("wrong", t => t.is(1, 2));',
  "out/core/skip.test.js":
    'import test from "ava"; test.skip("later", t => t.pass()); test("now", t => t.pass());',
  "out/crash.test.js":
    'import test from "ava"; test("x", t => t.pass()); setTimeout(() => { throw new Error("thrown"); }); test("y", () => new Promise(() => {}));',
  "out/empty.test.js": 'import "ava";',
  "out/exit.test.js": 'import test from "ava"; test("leaves", () => process.exit(0));',
  "out/killed.test.js": 'import test from "ava"; test("dies", () => process.kill(process.pid, "SIGKILL"));',
  "out/hangs.test.js":
    'import test from "ava"; test("waits", () => new Promise(() => setInterval(() => {}, 1000)));',
  "out/syntax.test.js": "import test from",
};

async function runMadeUpSuite(
  t: ExecutionContext,
  names: readonly string[],
  timeout = "60s",
): Promise<Record<string, FileResult>> {
  const { runSuite } = await load("run-suite.mjs");
  // Inside the repository, because the tests import ava from its node_modules/.
  const folder = temporaryFolder(t, join(repositoryRoot, ".cache"));
  write(folder, { ...SUITE, "package.json": SUITE["package.json"]!.replace("TIMEOUT", timeout) });
  const cwd = folder.slice(repositoryRoot.length + 1);
  const files = names.map((name) => ({ source: name, compiled: `${cwd}/out/${name}.test.js` }));
  const options = { match: [], verbose: false, print: () => undefined };
  const results = await runSuite({ name: "made up", cwd, concurrency: 2, files }, options);
  return Object.fromEntries(results.map((result) => [result.source, result]));
}

const show = ({ counts }: FileResult): string => `${counts.passed}/${counts.failed}/${counts.skipped}`;

test.serial("the runner counts what passes, fails and is skipped, for each file", async (t) => {
  const results = await runMadeUpSuite(t, ["core/good", "core/bad", "core/skip"]);
  t.deepEqual(
    Object.entries(results).map(([name, result]) => `${name} ${show(result)}`),
    ["core/good 2/0/0", "core/bad 1/1/0", "core/skip 1/0/1"],
  );
  t.deepEqual(results["core/bad"]?.failures, ["wrong"]);
});

test.serial("the runner names the file even when it runs only one", async (t) => {
  const results = await runMadeUpSuite(t, ["core/bad"]);
  t.is(show(results["core/bad"]!), "1/1/0");
});

for (const name of ["crash", "empty", "exit", "killed", "syntax", "missing"]) {
  test.serial(`a file that ends wrongly fails, and only it does: ${name}`, async (t) => {
    const results = await runMadeUpSuite(t, ["core/good", name]);
    t.is(show(results["core/good"]!), "2/0/0");
    const failed = Object.values(results).filter(({ counts }) => counts.failed > 0);
    t.true(failed.length > 0, "nothing failed");
    t.false(failed.some(({ source }) => source === "core/good"));
  });
}

test.serial("a test that never ends fails by its name", async (t) => {
  const results = await runMadeUpSuite(t, ["hangs"], "3s");
  t.deepEqual(results["hangs"]?.failures, ["waits"]);
});

test("npm test refuses unknown options, and fails when no test fits", (t) => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(repositoryRoot, ".ci/test.mjs"), ...args], { encoding: "utf8" });
  const unknown = run("--nothing");
  t.is(unknown.status, 2);
  t.true(unknown.stderr.includes("--nothing"));
  const none = run("no/such/file");
  t.is(none.status, 1);
  t.is(none.stdout.trimEnd().split("\n").at(-1), "0 passed, 1 failed");
});

test("two holders of a lock take turns, and the lock of a dead process is taken over", async (t) => {
  const path = join(temporaryFolder(t), "lock");
  const dead = spawnSync(process.execPath, ["-e", ""]).pid;
  writeFileSync(path, `${dead}\n`);
  const script = `
    import { existsSync, rmSync, writeFileSync } from "node:fs";
    import { withLock } from ${JSON.stringify(pathToFileURL(join(repositoryRoot, ".ci/lock.mjs")).href)};
    for (let turn = 0; turn < 3; turn++) await withLock(${JSON.stringify(path)}, async () => {
      const mark = ${JSON.stringify(`${path}.inside`)};
      writeFileSync(mark, "", { flag: "wx" });
      await new Promise((resolve) => setTimeout(resolve, 5));
      rmSync(mark);
    });`;
  const children = [1, 2, 3].map(() =>
    spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "ignore", "pipe"] }),
  );
  let complaints = "";
  for (const child of children) child.stderr.on("data", (text: Buffer) => (complaints += text.toString()));
  const codes = await Promise.all(children.map(async (child) => (await once(child, "close")) as [number]));
  t.deepEqual(
    codes.map(([code]) => code),
    [0, 0, 0],
    complaints,
  );
  t.false(existsSync(path));
});

test("a lock whose holder died before it wrote its number is taken over", async (t) => {
  const { withLock } = await load("lock.mjs");
  const path = join(temporaryFolder(t), "lock");
  writeFileSync(path, "");
  utimesSync(path, new Date(0), new Date(0));
  t.is(await withLock(path, () => Promise.resolve(7)), 7);
});

test("a lock is released when the action fails", async (t) => {
  const { withLock } = await load("lock.mjs");
  const path = join(temporaryFolder(t), "lock");
  await t.throwsAsync(
    withLock(path, () => Promise.reject(new Error("no"))),
    { message: "no" },
  );
  t.is(await withLock(path, () => Promise.resolve(7)), 7);
});

test("versions are compared by number", async (t) => {
  const { isAtLeast } = await load("setup.mjs");
  for (const version of ["20.19.0", "20.20.1", "22.0.0", "100.1.0"])
    t.true(isAtLeast(version, "20.19"), version);
  for (const version of ["20.18.9", "20.2.0", "18.20.0", "9.99.0"])
    t.false(isAtLeast(version, "20.19"), version);
});

test("packages are installed again exactly when they differ from the lockfile", async (t) => {
  const { isSameTree } = await load("setup.mjs");
  const a = { version: "1.0.0", integrity: "sha512-a" };
  const wanted = {
    "": {},
    "sdk/typescript": {},
    "node_modules/a": a,
    "node_modules/b": { ...a, optional: true },
  };
  t.true(isSameTree(wanted, { "node_modules/a": a, "node_modules/b": a }));
  t.true(isSameTree(wanted, { "node_modules/a": a }), "the optional one is for another platform");
  t.false(isSameTree(wanted, { "node_modules/b": a }));
  t.false(isSameTree(wanted, { "node_modules/a": { ...a, version: "1.0.1" } }));
  t.false(isSameTree(wanted, { "node_modules/a": { ...a, integrity: "sha512-b" } }));
  t.false(
    isSameTree(wanted, { "node_modules/a": a, "node_modules/c": a }),
    "one is there that should not be",
  );
});

/** A repository with the scripts and proto/ of this one, in which commits can be made. */
function protoRepository(t: ExecutionContext): {
  folder: string;
  commit: (files: Record<string, string>) => void;
} {
  const folder = temporaryFolder(t, join(repositoryRoot, ".cache"));
  const scripts = ["check-breaking.mjs", "process.mjs"];
  for (const name of scripts)
    write(folder, { [`.ci/${name}`]: readFileSync(join(repositoryRoot, ".ci", name), "utf8") });
  write(folder, { "proto/buf.yaml": "version: v2\nbreaking:\n  use: [WIRE_JSON]\n" });
  git(folder, "init", "-q", "-b", "main");
  const commit = (files: Record<string, string>): void => {
    write(folder, files);
    git(folder, "add", "-A");
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "change");
  };
  return { folder, commit };
}

function git(folder: string, ...args: string[]): void {
  execFileSync("git", args, { cwd: folder });
}

function checkBreaking(folder: string, ...args: string[]): { code: number | null; output: string } {
  const result = spawnSync(process.execPath, [join(folder, ".ci/check-breaking.mjs"), ...args], {
    encoding: "utf8",
    env: {
      ...process.env,
      PATH: `${join(repositoryRoot, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
    },
  });
  return { code: result.status, output: result.stdout + result.stderr };
}

const message = (type: string): Record<string, string> => ({
  "proto/a.proto": `syntax = "proto3";\npackage a;\nmessage A {\n  ${type} id = 1;\n}\n`,
});

test("breaking changes are found on main, on a branch, and before they are committed", (t) => {
  const { folder, commit } = protoRepository(t);
  commit(message("string"));
  t.deepEqual(checkBreaking(folder), {
    code: 0,
    output: "check:breaking: there is no earlier proto/ to compare with.\n",
  });
  write(folder, message("int32"));
  t.is(checkBreaking(folder).code, 1, "edited");
  commit(message("int32"));
  const { code, output } = checkBreaking(folder);
  t.is(code, 1, "committed to main");
  t.true(output.includes("a.proto"), output);
  git(folder, "checkout", "-q", "-b", "work", "HEAD~1");
  commit({ note: "" });
  t.is(checkBreaking(folder).code, 0, "a branch from before the change");
  commit(message("bool"));
  commit({ note: "more" });
  t.is(checkBreaking(folder).code, 1, "two commits back on the branch");
  t.is(checkBreaking(folder, "HEAD~1").code, 0, "a named commit");
  t.is(checkBreaking(folder, "nothing").code, 1, "an unknown commit");
});

test("a clone of the last commit alone has nothing to compare with", (t) => {
  const { folder, commit } = protoRepository(t);
  commit(message("string"));
  commit(message("int32"));
  const clone = join(temporaryFolder(t, join(repositoryRoot, ".cache")), "clone");
  git(folder, "clone", "-q", "--depth", "1", pathToFileURL(folder).href, clone);
  const { code, output } = checkBreaking(clone);
  t.is(code, 0, output);
  t.true(output.includes("no earlier proto/"), output);
  const whole = `${clone}-whole`;
  git(folder, "clone", "-q", "--single-branch", pathToFileURL(folder).href, whole);
  t.is(checkBreaking(whole).code, 1, "a whole clone compares with the commit before");
});
