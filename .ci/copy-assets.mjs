import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./process.mjs";

/** What the server reads at run time and the compiler does not emit. */
const ASSETS = new Set([".sql", ".html", ".css", ".js", ".svg", ".ico", ".png", ".json"]);
const WITHOUT_ASSETS = ["docs", "deploy", "gen"];
const COMPILED = /(\.d\.ts|\.js\.map|\.js)$/;

/** Copies the server's SQL and user interface files beside the compiled code. */
export function copyAssets() {
  for (const file of listFiles("server")) {
    if (!ASSETS.has(extname(file)) || WITHOUT_ASSETS.includes(file.split("/")[1])) continue;
    mkdirSync(dirname(join(root, "dist", file)), { recursive: true });
    copyFileSync(join(root, file), join(root, "dist", file));
  }
}

/**
 * Removes what an earlier build left in dist/ and no source stands for any more: a deleted
 * migration or test would otherwise still be run.
 */
export function pruneOutputs() {
  for (const folder of ["server", "test", "bench"]) {
    for (const file of listFiles(`dist/${folder}`)) {
      const source = join(root, file.slice("dist/".length));
      const compiledFrom = COMPILED.test(source) ? source.replace(COMPILED, ".ts") : undefined;
      if (existsSync(source) || (compiledFrom !== undefined && existsSync(compiledFrom))) continue;
      rmSync(join(root, file));
    }
  }
}

function listFiles(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? listFiles(path) : [path];
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) copyAssets();
