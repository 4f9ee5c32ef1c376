import { createHash } from "node:crypto";
import { chown, lstat, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HeadraceError } from "../../core/errors.js";
import type { ServerAccount } from "./server-account.js";

/** The number in the name of the socket; no TCP port is opened. */
export const SOCKET_PORT = 5432;

/** The address of a unix socket holds 107 bytes on Linux and 103 on macOS. */
const MAX_SOCKET_PATH_BYTES = 100;

/**
 * Where the socket goes: the wanted directory when its path is short enough, and otherwise one in
 * the system's temporary directory whose name depends only on the wanted one.
 */
export function socketDirectoryFor(wanted: string): { readonly path: string; readonly temporary: boolean } {
  if (Buffer.byteLength(join(wanted, `.s.PGSQL.${SOCKET_PORT}`)) <= MAX_SOCKET_PATH_BYTES) {
    return { path: wanted, temporary: false };
  }
  const hash = createHash("sha256").update(wanted).digest("hex").slice(0, 16);
  return { path: join(tmpdir(), `headrace-${hash}`), temporary: true };
}

/**
 * Makes a directory that only the account (default: this user) can use. Whoever reaches the socket is
 * the superuser, so one that was prepared by somebody else is refused.
 */
export async function makePrivateDirectory(path: string, account: ServerAccount | undefined): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const found = await lstat(path);
  const isPrivate = found.isDirectory() && (found.mode & 0o077) === 0;
  const isMine = found.uid === process.getuid?.();
  if (isPrivate && isMine && account !== undefined) return chown(path, account.uid, account.gid);
  if (isPrivate && (isMine || found.uid === account?.uid)) return;
  throw new HeadraceError(
    "DATABASE_UNUSABLE",
    `${path} must be a directory that nobody else can use (mode 0700).`,
  );
}
