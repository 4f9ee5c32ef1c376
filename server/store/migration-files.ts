import { readdirSync, readFileSync } from "node:fs";
import type { Knex } from "knex";

/** One step of the schema, as NNNN-name.sql holds it. Never edited once released. */
export interface MigrationFile {
  /** File name without .sql. */
  readonly name: string;
  readonly sql: string;
}

const DIRECTORY = new URL("./migrations/", import.meta.url);

/** The migrations of a directory (default: those of this program) in their order. */
export function readMigrations(directory: URL = DIRECTORY): MigrationFile[] {
  const files = readdirSync(directory)
    .filter((file) => file.endsWith(".sql"))
    .sort();
  const numbers = new Set<string>();
  return files.map((file) => {
    const match = /^(\d{4})-[a-z0-9-]+\.sql$/.exec(file);
    const number = match?.[1];
    if (number === undefined) throw new Error(`Migration ${file} is not named NNNN-name.sql`);
    if (numbers.has(number)) throw new Error(`Two migrations have the number ${number}`);
    numbers.add(number);
    return { name: file.slice(0, -".sql".length), sql: readFileSync(new URL(file, directory), "utf8") };
  });
}

/** The same for knex. Forward only: a mistake is mended by a further migration. */
export function migrationSource(files: readonly MigrationFile[]): Knex.MigrationSource<MigrationFile> {
  return {
    getMigrations: () => Promise.resolve([...files]),
    getMigrationName: (file) => file.name,
    getMigration: (file) =>
      Promise.resolve({
        // A question mark is a placeholder to knex unless it is escaped.
        up: async (transaction: Knex) => {
          await transaction.raw(file.sql.replaceAll("?", "\\?"));
        },
        down: () => Promise.reject(new Error("Migrations only go forward")),
      }),
  };
}
