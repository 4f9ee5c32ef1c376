import type { Census } from "./census.js";
import type { Count } from "./count.js";

const HEAD = ["language", "files", "lines", "bytes", "compressed", "ratio"];
const SELECTIONS = {
  git: "the files that git tracks",
  all: "all files but those of node_modules, dist and hidden folders",
};

/** The result of a census: a table of the languages, and what did not count. */
export function censusText({
  selection,
  languages,
  total,
  skipped,
  unreadable,
  fingerprint,
}: Census): string {
  const notes = [
    `counted: ${SELECTIONS[selection]}`,
    skipped > 0 ? `left out: ${numberText(skipped)} links and others that are no regular files` : "",
    unreadable.length > 0 ? `could not be read: ${someOf(unreadable)}` : "",
    `fingerprint of paths and contents: ${fingerprint.slice(0, 16)}`,
  ];
  return [...tableLines(languages, total), "", ...notes.filter((note) => note !== "")].map(indent).join("\n");
}

/** Which worker measured how many shards, and how long the execution took. */
export function shardText(shardsOf: ReadonlyMap<string, number>, durationMs: number): string {
  const shares = [...shardsOf].toSorted().map(([worker, shards]) => `${worker} ${shards}`);
  return `  shards: ${shares.join(", ")}; ${(durationMs / 1000).toFixed(2)} s from start to end\n`;
}

/** How to go on. */
export function hintText(executionId: string): string {
  return `The execution is kept. To look at it, start the server again in one terminal:

  npx headrace dev

and ask it in another:

  npx headrace get ${executionId}
  npx headrace get ${executionId} --tasks
  npx headrace list
`;
}

/** A row for each language, most bytes first, and one for all of them. */
function tableLines(languages: Readonly<Record<string, Count>>, total: Count): string[] {
  const bySize = Object.entries(languages).toSorted(
    ([a, x], [b, y]) => y.bytes - x.bytes || (a < b ? -1 : 1),
  );
  const rows = [HEAD, ...bySize.map(cellsOf), cellsOf(["total", total])];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const lines = rows.map(([name = "", ...numbers]) =>
    [name.padEnd(widths[0] ?? 0), ...numbers.map((cell, i) => cell.padStart(widths[i + 1] ?? 0))].join("  "),
  );
  const rule = "-".repeat(lines[0]?.length ?? 0);
  return lines.toSpliced(-1, 0, rule).toSpliced(1, 0, rule);
}

function cellsOf([name, { files, lines, bytes, compressedBytes }]: [string, Count]): string[] {
  const ratio = compressedBytes === 0 ? "-" : (bytes / compressedBytes).toFixed(2);
  return [name, ...[files, lines, bytes, compressedBytes].map(numberText), ratio];
}

/** 1234567 as 1,234,567. */
function numberText(value: number): string {
  return value.toLocaleString("en-US");
}

/** The first few of many. */
function someOf(paths: readonly string[]): string {
  const shown = paths.slice(0, 3).map((path) => (path === "" ? "." : path));
  const more = paths.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${numberText(more)} more` : ""}`;
}

function indent(line: string): string {
  return line === "" ? "" : `  ${line}`;
}
