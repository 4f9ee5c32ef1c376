import type { SourceFile } from "../source-files.js";
import type { TidyViolation } from "./violation.js";

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** Checks that npm ci accepts the lockfile on every platform and from every registry. */
export function checkLockfile(files: readonly SourceFile[]): TidyViolation[] {
  const file = files.find(({ path }) => path === "package-lock.json");
  if (file === undefined) return [];
  const { packages } = JSON.parse(file.text) as { packages: Record<string, LockedPackage> };
  return Object.entries(packages)
    .flatMap(([path, locked]) => [
      ...checkSource(path, locked),
      ...checkComplete(path, locked, packages),
      ...(path.includes("node_modules/") ? [] : checkPinned(path, locked)),
    ])
    .map((message) => ({ rule: "lockfile", path: file.path, message }));
}

function checkSource(path: string, { resolved, integrity, link }: LockedPackage): string[] {
  if (!path.includes("node_modules/") || link === true) return [];
  const found: string[] = [];
  if (resolved !== undefined) found.push(`${path} names where it was downloaded: ${resolved}`);
  if (integrity === undefined) found.push(`${path} has no integrity`);
  return found;
}

/** A package that the registry lacks for one platform is missing here, and npm ci then refuses everywhere. */
function checkComplete(
  path: string,
  locked: LockedPackage,
  packages: Record<string, LockedPackage>,
): string[] {
  const needed = { ...locked.dependencies, ...locked.optionalDependencies };
  return Object.keys(needed)
    .filter((name) => !placesOf(name, path).some((place) => place in packages))
    .map((name) => `${path === "" ? "the project" : path} needs ${name}, which is not locked`);
}

/** Where Node looks for a package from a path: each node_modules/ on the way up. */
function placesOf(name: string, path: string): string[] {
  const parts = path === "" ? [] : path.split("/");
  return [...parts.map((_, index) => `${parts.slice(0, index + 1).join("/")}/`), ""].map(
    (folder) => `${folder}node_modules/${name}`,
  );
}

function checkPinned(path: string, locked: LockedPackage): string[] {
  const wanted = { ...locked.dependencies, ...locked.devDependencies, ...locked.optionalDependencies };
  return Object.entries(wanted)
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(
      ([name, version]) => `${path === "" ? "package.json" : path} wants ${name} ${version}: pin one version`,
    );
}
