import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** What the server keeps there for later runs; no test owns it. */
const CACHE = /^headrace-postgres-/;
/** Directories of databases are removed by a watcher after the process of a test has ended. */
const REMOVED_WITHIN_MS = 10_000;

/**
 * Makes a temporary directory for this process and its children, in which whatever is named
 * headrace-* at the end was left behind by a test. The name is short because paths of sockets must be.
 */
export function useTemporaryFolder(env = process.env) {
  const folder = mkdtempSync(join(tmpdir(), "hr-"));
  // Like /tmp itself: a PostgreSQL that runs as another user needs it too.
  chmodSync(folder, 0o1777);
  env.TMPDIR = folder;
  return {
    folder,
    /** The names of what is left, after the time that removing may take. */
    async leftovers(withinMs = REMOVED_WITHIN_MS) {
      const endsAt = performance.now() + withinMs;
      for (;;) {
        const names = readdirSync(folder).filter((name) => name.startsWith("headrace-") && !CACHE.test(name));
        if (names.length === 0 || performance.now() >= endsAt) return names;
        await sleep(100);
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }),
  };
}
