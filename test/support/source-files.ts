import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A text file of the repository. */
export interface SourceFile {
  /** From the root of the repository, with "/". */
  readonly path: string;
  readonly text: string;
}

/** The root of the repository, found from the compiled or the source form of this file. */
export const repositoryRoot = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(folder: string): string {
  if (existsSync(join(folder, "proto", "buf.yaml"))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error("no folder above this file is the root of the repository");
  return findRoot(parent);
}

/** Every text file that git tracks or would track: not what .gitignore names. */
export function readSourceFiles(): SourceFile[] {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: repositoryRoot,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  return listed
    .split("\0")
    .filter((path) => path !== "")
    .filter((path) => lstatSync(join(repositoryRoot, path), { throwIfNoEntry: false })?.isFile())
    .map((path) => ({ path, text: readFileSync(join(repositoryRoot, path), "utf8") }))
    .filter((file) => !file.text.includes("\0"));
}

/** Whether a tool wrote the file: it is exempt from the rules of style. */
export function isGenerated(path: string): boolean {
  return path === "package-lock.json" || /(^|\/)gen\//.test(path);
}
