// Refuses changes of proto/ that break clients of the last state of main.
// A commit to compare with can be named: npm run check:breaking -- v0.1.0
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runTool } from "./process.mjs";

const git = (...args) => runTool("git", args);
const commitOf = (name) => {
  const { code, stdout } = git("rev-parse", "--verify", "--quiet", `${name}^{commit}`);
  return code === 0 ? stdout.trim() : undefined;
};

/**
 * On a branch: where it left main. On main itself: its last commit when the files were edited since,
 * else the commit before. Undefined in a repository that has no such commit, as a shallow clone.
 */
function findBase() {
  const head = commitOf("HEAD");
  if (head === undefined) return undefined;
  for (const main of ["origin/main", "main"]) {
    const tip = commitOf(main);
    if (tip === undefined || tip === head) continue;
    const { code, stdout } = git("merge-base", head, tip);
    // When main is behind or beside HEAD the branch left it there; when HEAD is part of main, HEAD is old main.
    if (code === 0 && stdout.trim() !== head) return stdout.trim();
  }
  const isEdited = git("diff", "--quiet", "HEAD", "--", "proto").code !== 0;
  return isEdited ? head : commitOf("HEAD~1");
}

function fail(message) {
  process.stderr.write(`${message.trimEnd()}\n`);
  process.exit(1);
}

const named = process.argv[2];
const base = named === undefined ? findBase() : commitOf(named);
if (named !== undefined && base === undefined) fail(`There is no commit ${named} to compare with.`);
if (base === undefined || git("cat-file", "-e", `${base}:proto/buf.yaml`).code !== 0) {
  process.stdout.write("check:breaking: there is no earlier proto/ to compare with.\n");
  process.exit(0);
}
const folder = mkdtempSync(join(tmpdir(), "headrace-proto-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const archive = join(folder, "base.tar");
// An archive works in worktrees and shallow clones too, where buf's own reading of .git does not.
const archived = git("archive", "--format=tar", "-o", archive, base, "proto");
if (archived.code !== 0) fail(archived.output);
const { code, output } = runTool("buf", ["breaking", "proto", "--against", `${archive}#subdir=proto`]);
if (code !== 0) fail(`proto/ breaks clients of ${base.slice(0, 12)}:\n${output}`);
