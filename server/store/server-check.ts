import { HeadraceError } from "../core/errors.js";
import type { Query } from "./client-work.js";

const OLDEST_VERSION = 15;

/** What to accept of a PostgreSQL server. */
export interface ServerCheckOptions {
  /** Accept a server that may lose what it has acknowledged. For tests and benchmarks. */
  readonly allowUnsafeDurability?: boolean;
  readonly log: (message: string) => void;
}

interface ServerRow {
  readonly version: string;
  readonly version_num: number;
  readonly encoding: string;
  readonly fsync: string;
  readonly full_page_writes: string;
  readonly synchronous_commit: string;
}

const READ_SERVER = {
  text: `select current_setting('server_version') as version,
                current_setting('server_version_num')::int as version_num,
                current_setting('server_encoding') as encoding,
                current_setting('fsync') as fsync,
                current_setting('full_page_writes') as full_page_writes,
                current_setting('synchronous_commit') as synchronous_commit`,
};

/** Throws DATABASE_UNUSABLE when this PostgreSQL cannot keep what the server promises. */
export async function checkServer(query: Query, options: ServerCheckOptions): Promise<void> {
  const { rows } = await query<ServerRow>(READ_SERVER);
  const server = rows[0];
  if (server === undefined) throw new Error("PostgreSQL did not tell its settings");
  if (server.version_num < OLDEST_VERSION * 10_000) {
    throw unusable(`PostgreSQL ${server.version} is too old; version ${OLDEST_VERSION} or newer is needed.`);
  }
  if (server.encoding !== "UTF8") {
    throw unusable(`The database is encoded in ${server.encoding}; create it with ENCODING 'UTF8'.`);
  }
  const unsafe = (["fsync", "full_page_writes", "synchronous_commit"] as const).filter(
    (setting) => server[setting] === "off",
  );
  if (unsafe.length === 0) return;
  const what = `PostgreSQL runs with ${unsafe.map((setting) => `${setting}=off`).join(", ")}: a crash loses what was acknowledged.`;
  if (options.allowUnsafeDurability !== true) throw unusable(`${what} Switch it on.`);
  options.log(what);
}

function unusable(message: string): HeadraceError {
  return new HeadraceError("DATABASE_UNUSABLE", message);
}
