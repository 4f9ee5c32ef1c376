import { randomUUID } from "node:crypto";
import { access, constants, link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { HeadraceError } from "../../core/errors.js";
import { codeOf } from "../sql-errors.js";
import { isAlive } from "./postmaster.js";

/** The right of this process to use a data directory alone. */
export interface OwnerLock {
  /** Tells others where this server answers, for the message that they get. */
  setAddress(address: string): Promise<void>;
  /** Lets others in. May be called again. */
  release(): Promise<void>;
}

interface Owner {
  /** Tells this holder from every other, also in the same process. */
  readonly id: string;
  readonly pid: number;
  /** When the process began, as the system counts; tells a process id that is used again. */
  readonly processStart: string;
  readonly lockedAt: string;
  readonly address: string;
}

const LOCK_FILE = "owner.lock";

/**
 * Takes a directory (created when missing) for this process alone. A lock whose process is gone is
 * taken over. Throws DATA_DIR_IN_USE, naming the process that has it and its address. Process ids are
 * those of this machine: a directory shared between machines or containers is not protected.
 */
export async function acquireOwnerLock(directory: string, address = ""): Promise<OwnerLock> {
  const path = join(resolve(directory), LOCK_FILE);
  const owner: Owner = {
    id: randomUUID(),
    pid: process.pid,
    processStart: await processStart(process.pid),
    lockedAt: new Date().toISOString(),
    address,
  };
  await makeDirectory(directory);
  while (!(await tryTake(path, owner))) {
    const holder = await readOwner(path);
    if (holder === undefined) continue;
    if (await isRunning(holder)) throw inUse(directory, holder);
    await removeStale(path, holder);
  }
  return {
    setAddress: (next) => replaceIfOurs(path, { ...owner, address: next }),
    release: async () => {
      if ((await readOwner(path))?.id === owner.id) await rm(path, { force: true });
    },
  };
}

const UNWRITABLE: ReadonlySet<string | undefined> = new Set(["EACCES", "EPERM", "EROFS", "ENOENT"]);

/** Throws INVALID_FIELD when the path leads over a file, or where this user may not write. */
async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(resolve(directory), { recursive: true });
    await access(resolve(directory), constants.W_OK);
  } catch (error) {
    const code = codeOf(error);
    const isFile = code === "EEXIST" || code === "ENOTDIR";
    if (!isFile && !UNWRITABLE.has(code)) throw error;
    const what = isFile ? "is not a directory" : "cannot be made or written by this user";
    throw new HeadraceError("INVALID_FIELD", `The data directory ${directory} ${what}.`, {
      field: "data_dir",
      cause: error,
    });
  }
}

/** A link appears at once with its whole content, and never over a file that is there. */
async function tryTake(path: string, owner: Owner): Promise<boolean> {
  const draft = await writeDraft(path, owner);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function writeDraft(path: string, owner: Owner): Promise<string> {
  const draft = `${path}.${owner.id}`;
  await writeFile(draft, `${JSON.stringify(owner, undefined, 2)}\n`, { mode: 0o644 });
  return draft;
}

async function replaceIfOurs(path: string, owner: Owner): Promise<void> {
  if ((await readOwner(path))?.id !== owner.id) return;
  await rename(await writeDraft(path, owner), path);
}

/** Two processes may find the same stale lock: only the one that moves exactly that lock away goes on. */
async function removeStale(path: string, stale: Owner): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  const moved = await readOwner(aside);
  // Somebody was faster and this is the new, valid lock: it goes back.
  if (moved !== undefined && moved.id !== stale.id) {
    await link(aside, path).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
  }
  await rm(aside, { force: true });
}

/** Undefined when there is none. A file that is not ours to understand counts as stale. */
async function readOwner(path: string): Promise<Owner | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const unreadable: Owner = { id: "", pid: 0, processStart: "", lockedAt: "", address: "" };
  try {
    return { ...unreadable, ...(JSON.parse(text) as Partial<Owner>) };
  } catch {
    return unreadable;
  }
}

async function isRunning(owner: Owner): Promise<boolean> {
  return (await isAlive(owner.pid)) && (await processStart(owner.pid)) === owner.processStart;
}

/** Empty where the system does not tell; then the process id alone decides. */
async function processStart(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The name, in parentheses, may contain anything; field 22 is the 20th after it.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function inUse(directory: string, owner: Owner): HeadraceError {
  const address = owner.address === "" ? "" : `, which answers at ${owner.address}`;
  return new HeadraceError(
    "DATA_DIR_IN_USE",
    `${directory} is in use by process ${owner.pid}${address} (since ${owner.lockedAt}).`,
    { actual: owner.pid },
  );
}
