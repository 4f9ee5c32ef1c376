import type { SourceFile } from "../source-files.js";
import { isGenerated } from "../source-files.js";
import type { TidyViolation } from "./violation.js";

const TOP_LEVEL = new Set([
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "LICENSE",
  "README.md",
  "bench",
  "docker-compose.yml",
  "package-lock.json",
  "package.json",
  "proto",
  "sdk",
  "server",
  "test",
  "tsconfig.json",
]);

const VAGUE = new Set([
  "common",
  "helper",
  "helpers",
  "manager",
  "managers",
  "misc",
  "types",
  "util",
  "utils",
]);
const ASK_ABOVE_LINES = 300;
const MAX_LINES = 500;
const MAX_TEST_LINES = 800;
const SIZED = /\.(ts|mjs|js|sql|proto|py|go|java|rs)$/;

/** Checks names, places and sizes. `justified` says for each long file why it is not two. */
export function checkLayout(
  files: readonly SourceFile[],
  justified: Readonly<Record<string, string>>,
): TidyViolation[] {
  return [
    ...checkTopLevel(files),
    ...files.flatMap(({ path }) => checkName(path)),
    ...files.flatMap((file) => checkSize(file, justified)),
    ...checkJustified(files, justified),
    ...checkGeneratedMarks(files),
  ];
}

function checkTopLevel(files: readonly SourceFile[]): TidyViolation[] {
  const entries = new Set(files.map(({ path }) => path.split("/")[0] ?? path));
  return [...entries]
    .filter((entry) => !entry.startsWith(".") && !TOP_LEVEL.has(entry))
    .map((entry) => ({ rule: "top level", path: entry, message: "it belongs in one of the folders" }));
}

function checkName(path: string): TidyViolation[] {
  if (isGenerated(path)) return [];
  const vague = path
    .toLowerCase()
    .split(/[/._-]/)
    .find((word) => VAGUE.has(word));
  const found: TidyViolation[] = [];
  if (vague !== undefined)
    found.push({ rule: "vague name", path, message: `"${vague}" does not say what is inside` });
  const base = path.split("/").at(-1) ?? path;
  if (/\.(ts|mjs|sql)$/.test(base) && !/^[a-z0-9]+([-_][a-z0-9]+)*(\.[a-z]+)+$/.test(base)) {
    found.push({ rule: "file name", path, message: "write it in lower case with hyphens" });
  }
  return found;
}

function checkSize({ path, text }: SourceFile, justified: Readonly<Record<string, string>>): TidyViolation[] {
  if (isGenerated(path) || !SIZED.test(path)) return [];
  const lines = countLines(text);
  const limit = /^(test|bench)\/|\/test\//.test(path) ? MAX_TEST_LINES : MAX_LINES;
  if (lines > limit) return [{ rule: "file size", path, message: `${lines} lines; ${limit} are the limit` }];
  if (limit === MAX_TEST_LINES || lines <= ASK_ABOVE_LINES || path in justified) return [];
  return [
    {
      rule: "file size",
      path,
      message: `${lines} lines: split it, or say in LONG_FILES why it stays one file`,
    },
  ];
}

/** A justification that is no longer needed goes, so that the file does not grow back unseen. */
function checkJustified(
  files: readonly SourceFile[],
  justified: Readonly<Record<string, string>>,
): TidyViolation[] {
  return Object.keys(justified)
    .filter((path) => countLines(files.find((file) => file.path === path)?.text ?? "") <= ASK_ABOVE_LINES)
    .map((path) => ({ rule: "file size", path, message: "it is short or gone: remove it from LONG_FILES" }));
}

function countLines(text: string): number {
  return text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}

/** Generated files are in gen/, and .gitattributes marks them, so that reviews leave them out. */
function checkGeneratedMarks(files: readonly SourceFile[]): TidyViolation[] {
  const attributes = files.find(({ path }) => path === ".gitattributes")?.text ?? "";
  const marked = attributes
    .split("\n")
    .filter((line) => line.includes("linguist-generated"))
    .map((line) => line.split(/\s/)[0] ?? "");
  const isMarked = (path: string): boolean =>
    marked.some(
      (pattern) => pattern === path || (pattern.endsWith("/**") && path.startsWith(pattern.slice(0, -2))),
    );
  return files.flatMap(({ path, text }) => {
    const saysSo = /^(\/\/|#|--) (@generated\b|Code generated .* DO NOT EDIT)/m.test(text.slice(0, 500));
    if (isGenerated(path) && !isMarked(path)) {
      return [{ rule: "generated", path, message: "mark it as linguist-generated in .gitattributes" }];
    }
    return saysSo && !isGenerated(path)
      ? [{ rule: "generated", path, message: "generated code belongs in gen/" }]
      : [];
  });
}
