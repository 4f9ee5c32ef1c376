import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { REASONS } from "../../server/core/errors.js";
import { renderCommands, renderExitCodes, renderGlobalOptions } from "./cli-docs.js";
import { renderClientVariables, renderSettings } from "./configuration-docs.js";

/** A part of a document that the code determines, between two markers that carry its name. */
interface GeneratedPart {
  readonly path: string;
  readonly name: string;
  render(): string;
}

const PARTS: readonly GeneratedPart[] = [
  { path: "server/docs/errors.md", name: "reasons", render: renderReasons },
  { path: "server/docs/configuration.md", name: "settings", render: renderSettings },
  { path: "server/docs/configuration.md", name: "client variables", render: renderClientVariables },
  { path: "server/docs/cli.md", name: "exit codes", render: renderExitCodes },
  { path: "server/docs/cli.md", name: "global options", render: renderGlobalOptions },
  { path: "server/docs/cli.md", name: "commands", render: renderCommands },
];

/** The documents as they should be, by path, with their generated parts made anew. */
export function renderDocs(root: string): Map<string, string> {
  const docs = new Map<string, string>();
  for (const part of PARTS) {
    if (!existsSync(join(root, part.path))) throw new Error(`${part.path} is missing`);
    const text = docs.get(part.path) ?? readFileSync(join(root, part.path), "utf8");
    docs.set(part.path, replacePart(part.path, text, part.name, part.render()));
  }
  return docs;
}

/** Writes the documents whose generated parts are out of date; answers their paths. */
export function rewriteDocs(root: string): string[] {
  const changed = [...renderDocs(root)].filter(
    ([path, text]) => readFileSync(join(root, path), "utf8") !== text,
  );
  for (const [path, text] of changed) writeFileSync(join(root, path), text);
  return changed.map(([path]) => path);
}

/** Puts a text between the markers of a name. Throws when the markers are not there once, in order. */
export function replacePart(path: string, text: string, name: string, content: string): string {
  const start = `<!-- generated: ${name} -->`;
  const end = `<!-- end of ${name} -->`;
  const [before, ...afterStart] = text.split(start);
  const [, ...after] = (afterStart[0] ?? "").split(end);
  if (before === undefined || afterStart.length !== 1 || after.length !== 1) {
    throw new Error(`${path} needs "${start}" once and "${end}" once after it`);
  }
  // Prettier would pad the columns of a table, and a longer word would then change every line.
  return `${before}${start}\n\n<!-- prettier-ignore-start -->\n${content}\n<!-- prettier-ignore-end -->\n\n${end}${after[0] ?? ""}`;
}

function renderReasons(): string {
  const rows = Object.entries(REASONS).map(
    ([reason, { code, retryable, remedy }]) =>
      `| <a id="${reason.toLowerCase()}"></a>\`${reason}\` | \`${code}\` | ${retryable ? "yes" : "no"} | ${escapeCell(remedy)} |`,
  );
  return ["| reason | gRPC code | retryable | what to do |", "|---|---|---|---|", ...rows].join("\n");
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
