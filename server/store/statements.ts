import { readdirSync, readFileSync } from "node:fs";
import type { Statement } from "./client-work.js";

/** A statement of sql/*.sql under its name. */
export type NamedStatement = Required<Statement>;

const DIRECTORY = new URL("./sql/", import.meta.url);

let loaded: ReadonlyMap<string, NamedStatement> | undefined;

/**
 * The statement of that name. Modules ask at load, so that a wrong name ends the program at its
 * start and not at the first use.
 */
export function statement(name: string): NamedStatement {
  const found = allStatements().get(name);
  if (found === undefined) throw new Error(`No statement is named "${name}" in server/store/sql`);
  return found;
}

/** Every statement, read once. */
export function allStatements(): ReadonlyMap<string, NamedStatement> {
  loaded ??= loadStatements();
  return loaded;
}

function loadStatements(): ReadonlyMap<string, NamedStatement> {
  const statements = new Map<string, NamedStatement>();
  for (const file of readdirSync(DIRECTORY).sort()) {
    if (!file.endsWith(".sql")) continue;
    for (const found of parseStatements(readFileSync(new URL(file, DIRECTORY), "utf8"), file)) {
      if (statements.has(found.name)) throw new Error(`${file}: a second statement is named "${found.name}"`);
      statements.set(found.name, found);
    }
  }
  return statements;
}

/**
 * Cuts a file into statements. Each begins with a line `-- name: snake_case_name`; lines that are
 * only a comment do not travel to the server. `file` is for messages.
 */
export function parseStatements(source: string, file: string): NamedStatement[] {
  const [preamble = "", ...blocks] = source.split(/^-- name:/m);
  if (withoutComments(preamble) !== "") throw new Error(`${file}: SQL stands before the first "-- name:"`);
  return blocks.map((block) => {
    const end = block.indexOf("\n");
    const name = (end < 0 ? block : block.slice(0, end)).trim();
    if (!/^[a-z][a-z0-9_]{0,62}$/.test(name)) throw new Error(`${file}: "${name}" is not a snake_case name`);
    const text = withoutComments(end < 0 ? "" : block.slice(end)).replace(/;$/, "");
    if (text === "") throw new Error(`${file}: the statement "${name}" is empty`);
    return { name, text };
  });
}

function withoutComments(sql: string): string {
  return sql.replaceAll(/^\s*--.*$/gm, "").trim();
}
