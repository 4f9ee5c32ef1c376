// Brings a fresh clone to the point where everything runs: installs and builds what is missing or
// out of date. It says nothing when there is nothing to do. It is read by old versions of Node too,
// so that they can say what is wrong: the newer syntax is in the files that it imports later.
import { readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Makes node_modules/ and dist/ agree with the lockfile and the sources. Ends the process if that fails. */
export async function setUp() {
  checkNode();
  if (await isReady()) return;
  const { withLock } = await import("./lock.mjs");
  await withLock(join(root, ".cache", "setup.lock"), async () => {
    // Another process may have done the work while this one waited for the lock.
    if (!isInstalled()) await install();
    const { build, isBuilt } = await import("./build.mjs");
    if (isBuilt()) return;
    process.stderr.write("Building...\n");
    build();
  });
}

function checkNode() {
  const wanted = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).engines.node.replace(">=", "");
  if (isAtLeast(process.versions.node, wanted)) return;
  process.stderr.write(
    `Headrace needs Node.js ${wanted} or newer; this is ${process.versions.node} (${process.execPath}).\n` +
      "Install a newer one from https://nodejs.org and run the command again.\n",
  );
  process.exit(1);
}

/** Compares versions such as 20.19 and 20.9.1 number by number. */
export function isAtLeast(actual, wanted) {
  const numbers = actual.split(".").map(Number);
  for (const [index, part] of wanted.split(".").map(Number).entries()) {
    const number = numbers[index] || 0;
    if (number !== part) return number > part;
  }
  return true;
}

async function isReady() {
  if (!isInstalled()) return false;
  const { isBuilt } = await import("./build.mjs");
  return isBuilt();
}

function isInstalled() {
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const installed = readJson(join(root, "node_modules", ".package-lock.json"));
  return installed !== undefined && isSameTree(wanted, installed.packages);
}

/**
 * Whether the packages that npm noted in node_modules/ are those of the lockfile. npm writes its
 * note last, so an interrupted installation has none. An optional package may be missing: npm
 * leaves out those for other platforms.
 */
export function isSameTree(wanted, installed) {
  const inModules = (path) => path.includes("node_modules/");
  const same = Object.keys(wanted)
    .filter(inModules)
    .every((path) => {
      const found = installed[path];
      if (!found) return wanted[path].optional === true;
      return found.version === wanted[path].version && found.integrity === wanted[path].integrity;
    });
  return same && Object.keys(installed).every((path) => !inModules(path) || path in wanted);
}

async function install() {
  const { mustRunNpm } = await import("./process.mjs");
  process.stderr.write("Installing packages...\n");
  // Named, because NODE_ENV=production would leave out what compiles and tests.
  mustRunNpm("The installation of packages", [
    "ci",
    "--include=dev",
    "--include=optional",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ]);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await setUp();
