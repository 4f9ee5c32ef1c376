import { execFile } from "node:child_process";
import { lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { NonRetryable } from "@headrace/sdk";

export interface FoundFile {
  /** Below the folder. */
  readonly path: string;
  readonly bytes: number;
}

export interface FileList {
  /** Which files count: those that git tracks, or all but those of left-out folders. */
  readonly selection: "git" | "all";
  readonly files: readonly FoundFile[];
  /** Symbolic links and whatever else is no regular file. They do not count. */
  readonly skipped: number;
  /** Paths that may not be read, or are gone. They do not count either. */
  readonly unreadable: readonly string[];
}

/** The list travels as one payload, and the server takes 2 MiB. */
const LIST_BYTES_MAX = 2_000_000;
const LEFT_OUT = new Set(["node_modules", "dist"]);
const AT_ONCE = 64;

/** Lists the regular files of a folder. Fails for good when it is no folder, or too large for one payload. */
export async function listFiles(folder: string, signal: AbortSignal): Promise<FileList> {
  await requireFolder(folder);
  const unreadable: string[] = [];
  const tracked = await trackedFiles(folder, signal);
  const paths: string[] = [];
  let bytes = 0;
  for await (const path of tracked ?? walk(folder, "", unreadable)) {
    signal.throwIfAborted();
    bytes += Buffer.byteLength(JSON.stringify(path)) + 1;
    if (bytes > LIST_BYTES_MAX) throw tooLarge(folder, paths.length);
    paths.push(path);
  }
  const files: FoundFile[] = [];
  let skipped = 0;
  for (let from = 0; from < paths.length; from += AT_ONCE) {
    const some = paths.slice(from, from + AT_ONCE);
    const found = await Promise.all(some.map((path) => inspect(folder, path, unreadable)));
    files.push(...found.filter((file) => file !== undefined && file !== "skipped"));
    skipped += found.filter((file) => file === "skipped").length;
  }
  return { selection: tracked === undefined ? "all" : "git", files, skipped, unreadable };
}

/** Throws for good when there is no folder to list. */
export async function requireFolder(folder: string): Promise<void> {
  try {
    if ((await stat(folder)).isDirectory()) {
      await readdir(folder);
      return;
    }
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const why = codeOf(error) === "ENOENT" ? "does not exist" : "cannot be read";
    throw new NonRetryable(`${folder} ${why}: give a folder`, { cause: error });
  }
  throw new NonRetryable(`${folder} is not a folder: give the one that it is in`);
}

/** Whether a file or folder is not there for us, as opposed to trouble that may pass. */
export function isUnreadable(error: unknown): boolean {
  return ["EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR", "ELOOP"].includes(codeOf(error) ?? "");
}

/** What git tracks below the folder; undefined when there is no git or no work tree. */
async function trackedFiles(folder: string, signal: AbortSignal): Promise<Set<string> | undefined> {
  try {
    const options = { signal, maxBuffer: 64 * LIST_BYTES_MAX };
    const { stdout } = await promisify(execFile)("git", ["-C", folder, "ls-files", "-z"], options);
    return new Set(stdout.split("\0").filter((path) => path !== ""));
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

async function* walk(folder: string, below: string, unreadable: string[]): AsyncGenerator<string> {
  let entries;
  try {
    entries = await readdir(join(folder, below), { withFileTypes: true });
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    unreadable.push(below);
    return;
  }
  for (const entry of entries) {
    const path = join(below, entry.name);
    if (!entry.isDirectory()) yield path;
    else if (!LEFT_OUT.has(entry.name) && !entry.name.startsWith(".")) yield* walk(folder, path, unreadable);
  }
}

async function inspect(
  folder: string,
  path: string,
  unreadable: string[],
): Promise<FoundFile | "skipped" | undefined> {
  try {
    const found = await lstat(join(folder, path));
    return found.isFile() ? { path, bytes: found.size } : "skipped";
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    unreadable.push(path);
    return undefined;
  }
}

function tooLarge(folder: string, files: number): NonRetryable {
  return new NonRetryable(
    `${folder} has too many files for this example: the paths of the first ${files} fill a payload of ` +
      `${LIST_BYTES_MAX} bytes. Give a folder with less in it`,
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
