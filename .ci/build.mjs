import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { copyAssets, pruneOutputs } from "./copy-assets.mjs";
import { mustRun, mustRunNpm, root } from "./process.mjs";

const SOURCES = [
  "server",
  "test",
  "bench",
  "sdk/typescript",
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  ".ci/build.mjs",
  ".ci/copy-assets.mjs",
];
const NOT_SOURCES = new Set(["dist", "dist-test", "node_modules", "docs"]);
const STAMP = join(root, "dist", ".build-stamp");

/** Whether dist/ was built from exactly the sources that are there now. */
export function isBuilt() {
  return existsSync(STAMP) && sdkIsBuilt() && readFileSync(STAMP, "utf8") === hashSources();
}

/** Compiles the workspaces and the server, tests and benchmarks to dist/, and stamps the result. */
export function build() {
  rmSync(STAMP, { force: true });
  // Taken before compiling: an edit made meanwhile makes the stamp stale, so it is built next time.
  const hash = hashSources();
  mustRunNpm("The build of the SDK", ["run", "build", "--workspaces", "--if-present", "--silent"]);
  // The SDK's own configuration covers its tests and examples; its build script makes what is published.
  if (existsSync(join(root, "sdk/typescript/tsconfig.json")))
    compile("The build of the SDK's tests", "sdk/typescript");
  compile("The build", ".");
  pruneOutputs();
  copyAssets();
  // npm sets this bit when it links the program, which is before there is one.
  chmodSync(join(root, "dist/server/cli/main.js"), 0o755);
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(STAMP, hash);
}

function compile(what, project) {
  mustRun(what, process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", project]);
}

function sdkIsBuilt() {
  const sdk = JSON.parse(readFileSync(join(root, "sdk/typescript/package.json"), "utf8"));
  return sdk.scripts?.build === undefined || existsSync(join(root, "sdk/typescript", sdk.main));
}

function hashSources() {
  const hash = createHash("sha256");
  for (const path of SOURCES.flatMap((source) => listFiles(join(root, source)))) {
    hash
      .update(`${relative(root, path)}\0`)
      .update(readFileSync(path))
      .update("\0");
  }
  return hash.digest("hex");
}

function listFiles(path) {
  if (!existsSync(path)) return [];
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (error.code === "ENOTDIR") return [path];
    throw error;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    if (NOT_SOURCES.has(entry.name)) return [];
    const child = join(path, entry.name);
    return entry.isDirectory() ? listFiles(child) : [child];
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) build();
