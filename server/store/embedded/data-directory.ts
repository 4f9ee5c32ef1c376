import { chown, lchown, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { HeadraceError } from "../../core/errors.js";
import { codeOf } from "../sql-errors.js";
import { explainOutput, explainSpawn, placeOf, runProgram, type ServerPrograms } from "./server-process.js";

/** The superuser, the only user of an embedded database. The directory's mode is the protection. */
export const SUPERUSER = "postgres";

/**
 * Makes sure that the directory holds a cluster of the right version which PostgreSQL may use.
 * Throws DATABASE_UNUSABLE otherwise.
 */
export async function prepareDataDirectory(
  dataDir: string,
  programs: ServerPrograms,
  options: { readonly sync: boolean },
): Promise<void> {
  const version = await readVersion(dataDir);
  if (version === undefined) {
    await createCluster(dataDir, programs, options.sync);
  } else if (version !== String(programs.binaries.major)) {
    throw new HeadraceError(
      "DATABASE_UNUSABLE",
      `${dataDir} was written by PostgreSQL ${version}; this program brings ${programs.binaries.major}. ` +
        "Dump it with the old version and load it into a new directory, or choose another data directory.",
      { actual: version, limit: programs.binaries.major },
    );
  } else {
    await takeOver(dataDir, programs);
  }
}

/** Major version of the cluster; undefined when there is none. */
async function readVersion(dataDir: string): Promise<string | undefined> {
  try {
    return (await readFile(join(dataDir, "PG_VERSION"), "utf8")).trim();
  } catch (error) {
    if (codeOf(error) === "EACCES") throw notOurs(dataDir, error);
    if (codeOf(error) !== "ENOENT") throw error;
  }
  const present = await readdir(dataDir).catch(() => []);
  if (present.length === 0) return undefined;
  throw new HeadraceError("DATABASE_UNUSABLE", `${dataDir} is not empty and holds no PostgreSQL data.`);
}

/** The cluster gets its name only when it is whole, so that a crash leaves no half of one. */
async function createCluster(dataDir: string, programs: ServerPrograms, sync: boolean): Promise<void> {
  const draft = `${dataDir}.new`;
  await rm(draft, { recursive: true, force: true });
  try {
    await mkdir(dirname(dataDir), { recursive: true });
    await mkdir(draft, { mode: 0o700 });
    if (programs.account !== undefined) await chown(draft, programs.account.uid, programs.account.gid);
    await initdb(draft, programs, sync);
    await rm(dataDir, { recursive: true, force: true });
    await rename(draft, dataDir);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (["EACCES", "EPERM", "EROFS"].includes(codeOf(error) ?? "")) throw notOurs(dataDir, error);
    throw error;
  }
}

async function initdb(draft: string, programs: ServerPrograms, sync: boolean): Promise<void> {
  const place = placeOf(draft, programs.account);
  const args = [
    ...["-D", place.name, "-U", SUPERUSER, "-A", "trust", "--locale=C", "-E", "UTF8"],
    ...["--data-checksums", "--no-instructions", ...(sync ? [] : ["--no-sync"])],
  ];
  const child = runProgram(programs, "initdb", args, {
    cwd: place.workingDirectory,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said = child.stderr === null ? Promise.resolve("") : text(child.stderr);
  const [code] = (await once(child, "exit").catch((error: unknown) => {
    throw explainSpawn(error, programs);
  })) as [number | null];
  if (code !== 0) throw explainOutput(`PostgreSQL could not create its data in ${draft}`, await said);
}

/** PostgreSQL insists on owning its directory. Root can give it, others can only say who has it. */
async function takeOver(dataDir: string, programs: ServerPrograms): Promise<void> {
  const { uid } = await stat(dataDir);
  const wanted = programs.account?.uid ?? process.getuid?.();
  if (uid === wanted) return;
  if (programs.account === undefined) throw notOurs(dataDir);
  for (const entry of await readdir(dataDir, { recursive: true })) {
    await lchown(join(dataDir, entry), programs.account.uid, programs.account.gid);
  }
  await chown(dataDir, programs.account.uid, programs.account.gid);
}

function notOurs(dataDir: string, cause?: unknown): HeadraceError {
  return new HeadraceError(
    "DATABASE_UNUSABLE",
    `${dataDir} belongs to another user, or its directory may not be written. ` +
      "Start the server as the user that made it, change its owner, or choose another data directory.",
    { cause },
  );
}
