// Generates the protobuf code again, in its place, and fails when it was not what the proto files say.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, root } from "./process.mjs";

/** Every output folder that proto/buf.gen.yaml names. */
function outputFolders() {
  const config = readFileSync(join(root, "proto/buf.gen.yaml"), "utf8");
  return [...config.matchAll(/^\s*out:\s*(\S+)/gm)].map((match) => join(root, "proto", match[1]));
}

function readAll(folders) {
  const files = new Map();
  for (const folder of folders) {
    for (const name of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!name.isFile()) continue;
      const path = join(name.parentPath ?? name.path, name.name);
      files.set(path.slice(root.length + 1), readFileSync(path, "utf8"));
    }
  }
  return files;
}

const folders = outputFolders();
const before = readAll(folders);
mustRun("The generation of code", "buf", ["generate"], { cwd: join(root, "proto") });
const after = readAll(folders);
const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
  (path) => before.get(path) !== after.get(path),
);
if (changed.length > 0) {
  process.stderr.write(
    `The generated code was not what proto/ says. It has been generated again; commit it:\n${changed.map((path) => `  ${path}\n`).join("")}`,
  );
  process.exit(1);
}
