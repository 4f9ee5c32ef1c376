import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root, toolEnvironment } from "./process.mjs";
import { TapReader } from "./tap.mjs";

const AVA = join(root, "node_modules/ava/entrypoints/cli.mjs");
const TAP_FIX = new URL("./ava-tap-fix.mjs", import.meta.url).href;
const SEPARATOR = " › ";
/** After this much silence a line shows that the run is alive. */
const SILENCE_MS = 20_000;

/**
 * Runs the files of a suite and prints each failure when it happens. Answers, for each file, its
 * counts and the titles of what failed. Whatever ends ava other than by its tests is a failure too.
 */
export async function runSuite(suite, options) {
  const files = suite.files.map((file) => ({
    ...file,
    counts: { passed: 0, failed: 0, skipped: 0 },
    failures: [],
  }));
  const unattributed = {
    source: `(${suite.name})`,
    counts: { passed: 0, failed: 0, skipped: 0 },
    failures: [],
  };
  const missing = files.filter((file) => !existsSync(join(root, file.compiled)));
  for (const file of missing)
    add(file, failure(file.source, `${file.compiled} does not exist: the build left it out`), options);
  const present = files.filter((file) => !missing.includes(file));
  if (present.length > 0) {
    const attribute = attributor(present, suite, unattributed);
    const onResult = (result) => {
      const { file, title } = attribute(result.title);
      add(file, { ...result, title }, options);
    };
    const outcome = await runAva(suite, present, options, onResult);
    if (outcome !== undefined && ![...files, unattributed].some((file) => file.counts.failed > 0)) {
      add(unattributed, failure("ava", outcome), options);
    }
    // With --match most files have no test that fits, which is as wanted.
    if (options.match.length === 0) for (const file of present) requireTests(file, options);
  }
  return unattributed.counts.failed > 0 ? [...files, unattributed] : files;
}

function failure(title, message) {
  return { status: "failed", title, diagnostics: [message] };
}

function requireTests(file, options) {
  const { passed, failed, skipped } = file.counts;
  if (passed + failed + skipped === 0) add(file, failure(file.source, "no test ran"), options);
}

function add(file, result, { verbose, print }) {
  file.counts[result.status] += 1;
  if (result.status === "failed") {
    file.failures.push(result.title);
    const details = result.diagnostics.map((line) => `      ${line}\n`).join("");
    print(`\n  FAILED  ${file.source}: ${result.title}\n${details}`);
  } else if (verbose) {
    print(`  ${result.status.padEnd(7)} ${file.source}: ${result.title}\n`);
  }
}

/** Runs ava; answers what went wrong with the run itself, if anything did. */
function runAva(suite, files, options, onResult) {
  const args = [
    `--import=${TAP_FIX}`,
    AVA,
    "--tap",
    `--concurrency=${suite.concurrency}`,
    ...options.match.map((title) => `--match=${title}`),
  ];
  const inSuite = suite.cwd === "." ? 0 : suite.cwd.length + 1;
  const child = spawn(process.execPath, [...args, ...files.map((file) => file.compiled.slice(inSuite))], {
    cwd: join(root, suite.cwd),
    env: { ...toolEnvironment(), FORCE_COLOR: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let results = 0;
  let heardAt = Date.now();
  const tap = new TapReader((result) => {
    results += 1;
    heardAt = Date.now();
    onResult(result);
  });
  const silence = setInterval(() => {
    if (Date.now() - heardAt < SILENCE_MS) return;
    heardAt = Date.now();
    options.print(`  ... ${suite.name}: ${results} tests so far\n`);
  }, 1000);
  const stop = () => child.kill("SIGTERM");
  process.once("SIGTERM", stop);
  child.stdout.setEncoding("utf8").on("data", (chunk) => tap.write(chunk));
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(`cannot be started: ${error.message}`));
    child.once("close", (code, signal) => {
      clearInterval(silence);
      process.off("SIGTERM", stop);
      tap.end();
      if (signal !== null) resolve(`was ended by ${signal}`);
      else if (code !== 0) resolve(`ended with exit code ${code}`);
      else resolve(tap.isComplete ? undefined : "ended before its report was complete");
    });
  });
}

/** Finds the file that a title of ava belongs to: ava puts the file's path before it, or names it in the text. */
function attributor(files, suite, unattributed) {
  const labels = files
    .map((file) => ({ file, label: label(file, files) }))
    .toSorted((a, b) => b.label.length - a.label.length);
  const inSuite = suite.cwd === "." ? 0 : suite.cwd.length + 1;
  return (text) => {
    if (files.length === 1) return { file: files[0], title: text };
    const byLabel = labels.find((entry) => text.startsWith(entry.label + SEPARATOR));
    if (byLabel) return { file: byLabel.file, title: text.slice(byLabel.label.length + SEPARATOR.length) };
    const named = files.find((file) => text.includes(file.compiled.slice(inSuite)));
    return { file: named ?? unattributed, title: text };
  };
}

/** What ava puts before the titles of a file: its path below the folder that all files share. */
function label(file, files) {
  const folders = files.map((each) => each.compiled.split("/").slice(0, -1));
  const shared = folders[0].findIndex((part, index) => folders.some((parts) => parts[index] !== part));
  const parts = file.compiled.split("/").slice(shared === -1 ? folders[0].length : shared);
  return parts.map((part) => part.replace(/\.test\.js$/, "").replace(/\.js$/, "")).join(SEPARATOR);
}
