import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { join } from "node:path";
import { HeadraceError } from "../../core/errors.js";
import { codeOf } from "../sql-errors.js";
import type { PostgresBinaries } from "./postgres-binaries.js";
import { canEnter, type ServerAccount } from "./server-account.js";

/** How the programs of PostgreSQL are run: which ones, and as whom. */
export interface ServerPrograms {
  readonly binaries: PostgresBinaries;
  readonly account: ServerAccount | undefined;
}

/** A directory as PostgreSQL is told about it. */
export interface ServerPlace {
  /** Its name for PostgreSQL. */
  readonly name: string;
  readonly workingDirectory: string;
}

/**
 * How PostgreSQL reaches a directory that belongs to it. Below a directory that its account may not
 * enter (such as /root) it can still stand in it, if it is put there: Linux names that place.
 */
export function placeOf(directory: string, account: ServerAccount | undefined): ServerPlace {
  if (account === undefined || canEnter(join(directory, ".."), account)) {
    return { name: directory, workingDirectory: "/" };
  }
  if (process.platform === "linux") return { name: "/proc/self/cwd", workingDirectory: directory };
  throw new HeadraceError(
    "DATABASE_UNUSABLE",
    `PostgreSQL does not run as root, and user ${account.uid} cannot enter ${directory}. Choose another data directory, or do not start the server as root.`,
  );
}

/** Starts a program in a process group of its own, so that Ctrl-C in a terminal does not reach it. */
export function runProgram(
  programs: ServerPrograms,
  program: "initdb" | "postgres",
  args: readonly string[],
  options: { readonly cwd: string; readonly stdio: SpawnOptions["stdio"] },
): ChildProcess {
  return spawn(join(programs.binaries.bin, program), args, {
    ...options,
    ...programs.account,
    detached: true,
    // Nothing of the user's environment (PGDATA, PGPORT, LC_ALL, …) changes what is started.
    env: { LC_ALL: "C", TZ: "UTC" },
  });
}

/** The error for a program that could not be started at all. */
export function explainSpawn(error: unknown, programs: ServerPrograms): HeadraceError {
  const code = codeOf(error);
  const why =
    code === "ENOENT"
      ? "it, or the C library (glibc) that it needs, is missing"
      : code === "EACCES"
        ? "it may not be executed"
        : String(error);
  return new HeadraceError(
    "DATABASE_UNUSABLE",
    `PostgreSQL in ${programs.binaries.bin} cannot be started: ${why}. Set DATABASE_URL to a PostgreSQL of your own.`,
    { cause: error },
  );
}

/** The error for a program that ended, from what it said last. */
export function explainOutput(what: string, output: string): HeadraceError {
  const said = output.trim().split("\n");
  const line = said.findLast((text) => /FATAL|PANIC|error:/.test(text)) ?? said.at(-1) ?? "";
  const advice = /No space left on device/.test(output)
    ? "The disk is full; make room. "
    : /Permission denied|Operation not permitted/.test(output)
      ? "The data directory must belong to the user that PostgreSQL runs as. "
      : "";
  return new HeadraceError("DATABASE_UNUSABLE", `${what}. ${advice}It said: ${line.trim()}`);
}
