import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";

/** The user that PostgreSQL runs as when this process is root, which PostgreSQL refuses to be. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

const NOBODY: ServerAccount = { uid: 65_534, gid: 65_534 };

/** Undefined when this process is not root, so that PostgreSQL runs as the same user. */
export function serverAccount(): ServerAccount | undefined {
  if (process.getuid?.() !== 0) return undefined;
  return findUser("postgres") ?? NOBODY;
}

/** Whether the account can read below a directory: every directory on the way must let it through. */
export function canEnter(directory: string, account: ServerAccount | undefined): boolean {
  if (account === undefined) return isAccessible(directory);
  for (let path = directory; ; path = dirname(path)) {
    if (!lets(path, account)) return false;
    if (path === dirname(path)) return true;
  }
}

function lets(path: string, account: ServerAccount): boolean {
  const { uid, gid, mode } = statSync(path);
  if (uid === account.uid) return (mode & 0o100) !== 0;
  if (gid === account.gid) return (mode & 0o010) !== 0;
  return (mode & 0o001) !== 0;
}

function isAccessible(directory: string): boolean {
  try {
    accessSync(directory, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function findUser(name: string): ServerAccount | undefined {
  let users: string;
  try {
    users = readFileSync("/etc/passwd", "utf8");
  } catch {
    // Images without any user database exist; the numbers alone are enough.
    return undefined;
  }
  const fields = users
    .split("\n")
    .map((line) => line.split(":"))
    .find((line) => line[0] === name);
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])];
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
}
