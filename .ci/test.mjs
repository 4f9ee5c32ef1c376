// npm test: sets up, runs every suite, and ends with the line "N passed, N failed".
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runSuite } from "./run-suite.mjs";
import { root } from "./process.mjs";
import { setUp } from "./setup.mjs";
import { useTemporaryFolder } from "./temporary-folder.mjs";

const USAGE = `npm test -- [options] [part of a test file's path ...]

  npm test                         every test
  npm test -- test/core            the tests under a folder
  npm test -- lease --match '*x*'  files with "lease" in the path, titles with an x

Options:
  --match <title>   only tests with this title; * stands for anything
  --verbose         list every test, not only every file
  --help            this text
`;

/** The files of a suite run in one ava process; those of the slow suites one after the other. */
const SUITES = [
  { name: "server", sources: "test", compiled: "dist/test", cwd: ".", concurrency: 2 },
  {
    name: "whole processes",
    sources: "test",
    compiled: "dist/test",
    cwd: ".",
    concurrency: 1,
    only: /^test\/(e2e|faults|simulation|conformance)\//,
  },
  {
    name: "TypeScript SDK",
    sources: "sdk/typescript/test",
    compiled: "sdk/typescript/dist-test/test",
    cwd: "sdk/typescript",
    concurrency: 2,
  },
];

async function main() {
  const options = parseArguments(process.argv.slice(2));
  // Whatever ends this process early, the last line still says that the run failed.
  const onEarlyExit = (code) => code !== 0 && process.stdout.write("0 passed, 1 failed\n");
  process.once("exit", onEarlyExit);
  const startedAt = performance.now();
  await setUp();
  process.stdout.write(`${describePostgres()}\n`);
  const temporary = useTemporaryFolder();
  process.once("exit", temporary.remove);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  const files = [];
  for (const suite of selectSuites(options.patterns)) files.push(...(await runSuite(suite, options)));
  files.push(...describeLeftovers(await temporary.leftovers()));
  if (files.length === 0) process.stdout.write(describeNothing(options.patterns));
  process.off("exit", onEarlyExit);
  process.exitCode = report(files, (performance.now() - startedAt) / 1000);
}

function parseArguments(args) {
  const options = { patterns: [], match: [], verbose: false, print: (text) => process.stdout.write(text) };
  const rest = [...args];
  while (rest.length > 0) {
    const arg = rest.shift();
    if (arg === "--help") {
      process.stdout.write(USAGE);
      process.exit(0);
    } else if (arg === "--verbose") options.verbose = true;
    else if (arg === "--match" && rest.length > 0) options.match.push(rest.shift());
    else if (arg.startsWith("--match=")) options.match.push(arg.slice("--match=".length));
    else if (arg.startsWith("-")) refuse(`Unknown option or missing value: ${arg}`);
    else options.patterns.push(toSourcePath(arg));
  }
  return options;
}

function refuse(message) {
  process.stderr.write(`${message}\n\n${USAGE}`);
  process.exit(2);
}

/** Accepts the compiled file's name for that of its source. */
function toSourcePath(arg) {
  return arg
    .replace(/^\.\//, "")
    .replace(/^dist\//, "")
    .replace(/\.test\.js$/, ".test.ts");
}

function selectSuites(patterns) {
  const taken = new Set();
  return SUITES.toReversed()
    .map((suite) => {
      const sources = listTests(suite.sources)
        .filter((file) => !taken.has(file) && (suite.only?.test(file) ?? true))
        .toSorted();
      for (const file of sources) taken.add(file);
      const wanted = sources.filter(
        (file) => patterns.length === 0 || patterns.some((part) => file.includes(part)),
      );
      return { ...suite, files: wanted.map((source) => ({ source, compiled: toCompiled(suite, source) })) };
    })
    .toReversed()
    .filter((suite) => suite.files.length > 0);
}

function toCompiled(suite, source) {
  return `${suite.compiled}${source.slice(suite.sources.length).replace(/\.ts$/, ".js")}`;
}

function listTests(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return listTests(path);
    return path.endsWith(".test.ts") ? [path] : [];
  });
}

function describePostgres() {
  const folders = ["/usr/lib/postgresql/15/bin", ...(process.env.PATH ?? "").split(":")];
  const folder = folders.find((candidate) => existsSync(join(candidate, "pg_ctl")));
  if (folder === undefined) return "No installed PostgreSQL: the store tests run on the embedded one only.";
  return `PostgreSQL found in ${folder}: the store tests can run on it as well as on the embedded one.`;
}

function describeNothing(patterns) {
  return patterns.length === 0
    ? "There are no tests.\n"
    : `No test file's path contains ${patterns.join(" or ")}.\n`;
}

/** A test that leaves directories behind fills the disks of everybody who runs it. */
function describeLeftovers(names) {
  if (names.length === 0) return [];
  const failures = [`left behind in the temporary directory: ${names.join(", ")}`];
  return [{ source: "(temporary files)", counts: { passed: 0, failed: 1, skipped: 0 }, failures }];
}

/** Prints the list of files, the failures and the totals; returns the exit code. */
function report(files, seconds) {
  const width = Math.max(0, ...files.map((file) => file.source.length));
  process.stdout.write("\n");
  for (const file of files) {
    const { passed, failed, skipped } = file.counts;
    const counts = [
      `${passed} passed`,
      failed > 0 && `${failed} failed`,
      skipped > 0 && `${skipped} skipped`,
    ];
    const mark = failed > 0 ? "FAIL" : "ok  ";
    process.stdout.write(`  ${mark}  ${file.source.padEnd(width)}  ${counts.filter(Boolean).join(", ")}\n`);
  }
  const failures = files.flatMap((file) => file.failures.map((title) => `${file.source}: ${title}`));
  if (failures.length > 0)
    process.stdout.write(`\nFailed:\n${failures.map((line) => `  ${line}\n`).join("")}`);
  const total = (kind) => files.reduce((sum, file) => sum + file.counts[kind], 0);
  const skipped = total("skipped");
  const passed = total("passed");
  // A run in which no test ran proves nothing, so it is a failed one.
  const failed = total("failed") + (passed + total("failed") === 0 ? 1 : 0);
  process.stdout.write(`\n${skipped > 0 ? `${skipped} skipped; ` : ""}${seconds.toFixed(1)} s in total\n`);
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

await main();
