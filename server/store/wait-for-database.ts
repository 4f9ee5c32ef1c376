import { setTimeout as sleep } from "node:timers/promises";
import { HeadraceError } from "../core/errors.js";
import { schemaOf, type DatabaseConfig } from "./connection.js";
import { describeAddress, parseDatabaseUrl, type DatabaseAddress } from "./database-url.js";
import { withDedicatedClient } from "./dedicated-client.js";
import { codeOf, isConnectionLost, messageOf } from "./sql-errors.js";

/** How to wait. Times in milliseconds. */
export interface WaitOptions {
  readonly log: (message: string) => void;
  /** Gives up waiting; the promise then rejects with DATABASE_UNAVAILABLE. */
  readonly signal?: AbortSignal;
  /** Time between tries. Default: 500 ms. */
  readonly retryMs?: number;
  /** Time between messages. Default: 10 s. */
  readonly tellEveryMs?: number;
}

const RETRY_MS = 500;
const TELL_EVERY_MS = 10_000;

/**
 * Resolves when the database answers and takes writes. While it is down or starting, says so once
 * and then every 10 s with the reason. Throws DATABASE_UNUSABLE at once for what waiting cannot
 * cure: a URL that is not valid, a wrong password, a database that does not exist.
 */
export async function waitForDatabase(config: DatabaseConfig, options: WaitOptions): Promise<void> {
  const address = parseDatabaseUrl(config.url);
  schemaOf(config);
  const tellEveryMs = options.tellEveryMs ?? TELL_EVERY_MS;
  const startedAt = performance.now();
  let toldAt: number | undefined;
  for (;;) {
    const problem = await findProblem(config, address);
    if (problem === undefined) break;
    const now = performance.now();
    if (toldAt === undefined || now - toldAt >= tellEveryMs) {
      toldAt = now;
      options.log(`Waiting for PostgreSQL at ${describeAddress(address)}: ${problem}`);
    }
    await pause(options, problem);
  }
  if (toldAt === undefined) return;
  options.log(`PostgreSQL answers after ${Math.round((performance.now() - startedAt) / 1000)} s; going on`);
}

async function pause(options: WaitOptions, problem: string): Promise<void> {
  const { signal } = options;
  try {
    await sleep(options.retryMs ?? RETRY_MS, undefined, signal === undefined ? {} : { signal });
  } catch (cause) {
    throw new HeadraceError("DATABASE_UNAVAILABLE", `PostgreSQL does not answer: ${problem}`, { cause });
  }
}

/** Why the database cannot be used yet; undefined when it can. */
async function findProblem(config: DatabaseConfig, address: DatabaseAddress): Promise<string | undefined> {
  try {
    return await withDedicatedClient(config, { purpose: "start" }, async (query) => {
      const { rows } = await query<{ standby: boolean }>({ text: "select pg_is_in_recovery() as standby" });
      return rows[0]?.standby === true ? "it is a standby that takes no writes" : undefined;
    });
  } catch (error) {
    if (isConnectionLost(error)) return messageOf(error instanceof Error ? (error.cause ?? error) : error);
    throw explain(error, address);
  }
}

function explain(error: unknown, address: DatabaseAddress): HeadraceError {
  const place = describeAddress(address);
  const facts = { cause: error, field: "DATABASE_URL" };
  const code = codeOf(error) ?? "";
  const reasons: Readonly<Record<string, string>> = {
    "28P01": "refuses the password",
    "28000": "refuses the user",
    "3D000": `has no database "${address.database}"; create it first`,
    "42501": "does not let the user connect",
    EACCES: "has a socket that this user may not open",
  };
  const reason = reasons[code] ?? `cannot be used: ${messageOf(error)}`;
  return new HeadraceError("DATABASE_UNUSABLE", `PostgreSQL at ${place} ${reason}.`, facts);
}
