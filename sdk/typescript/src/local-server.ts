import type { ChildProcessByStdio } from "node:child_process";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

import { Deferred, settlesWithin } from "./deferred.js";
import { HeadraceError } from "./errors.js";

/** The line that `headrace dev` prints once it serves. */
const READY = /^headrace: ready on (\S+)/;
/** The first start may have to create a database. */
export const READY_WITHIN_MS = 60_000;
const STOPPED_WITHIN_MS = 10_000;
const LOG_CHARS = 4_000;
/** What `headrace dev` says when another server has its data; the address is missing until that one serves. */
const IN_USE = /is in use by process \d+(?:, which answers at (\S+))?/;
const BY_HAND = "Start it by hand to see more: headrace dev";
const NOT_STARTED = "Set HEADRACE_BIN to the path of the program headrace, or leave it out to have it found.";

type ServerProcess = ChildProcessByStdio<Writable, Readable, Readable>;

/** A local server did not start because another server has the data of this folder. */
export class DataDirInUse extends HeadraceError {
  /** Where that one answers; undefined while it still starts. */
  readonly address: string | undefined;

  constructor(message: string, address: string | undefined) {
    const use = address === undefined ? "" : `Set HEADRACE_ADDRESS=${address} to use that server. `;
    super("LOCAL_SERVER_FAILED", message, {
      actual: address,
      remedy: `${use}Or end it and run one for all programs in a terminal: headrace dev`,
    });
    this.address = address;
  }
}

/** A server of our own, as a child process, for development. */
export class LocalServer {
  readonly address: string;
  readonly #child: ServerProcess;
  readonly #exited: Promise<void>;
  readonly #killOnExit = (): void => void this.#child.kill();

  private constructor(address: string, child: ServerProcess, exited: Promise<void>) {
    this.address = address;
    this.#child = child;
    this.#exited = exited;
    process.on("exit", this.#killOnExit);
  }

  /**
   * Starts `headrace dev` on a free port. Without the path of a program it looks for the package
   * "headrace" around the program that runs, then in the directories of `searchPath`. Throws
   * LOCAL_SERVER_NOT_FOUND and LOCAL_SERVER_FAILED, the latter as a DataDirInUse when another server
   * has the data.
   */
  static async start(
    program: string | undefined,
    searchPath: string,
    env?: NodeJS.ProcessEnv,
  ): Promise<LocalServer> {
    const path = program ?? findProgram(searchPath);
    const [command, args] = path.endsWith("js") ? [process.execPath, [path]] : [path, []];
    // A process group of its own: Ctrl-C must reach the workers first, which then stop the server.
    // Nothing is ever written to its standard input, which closes however this program ends.
    const child = spawn(command, [...args, "dev", "--port", "0", "--with-parent"], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      ...(env === undefined ? {} : { env }),
    });
    let log = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (log = (log + text).slice(-LOG_CHARS)));
    const exited = new Promise<void>((resolve) => {
      child.once("error", () => resolve()).once("exit", () => resolve());
    });
    const ready = new Deferred<string>();
    child.once("error", (error) => ready.reject(failed(path, error.message, log, NOT_STARTED)));
    // By then all that it said has been read, which at its exit need not be so.
    child.once("close", (code, signal) =>
      ready.reject(failed(path, `it exited with ${signal ?? code ?? "no code"}`, log)),
    );
    createInterface({ input: child.stdout }).on("line", (line) => {
      const address = READY.exec(line)?.[1];
      if (address !== undefined) ready.resolve(address);
    });
    if (!(await settlesWithin(ready.promise, READY_WITHIN_MS))) {
      child.kill("SIGKILL");
      throw failed(path, `it was not ready within ${READY_WITHIN_MS / 1000} s`, log);
    }
    // The program may end without closing; the server is then told on its exit.
    for (const handle of [child, child.stdin, child.stdout, child.stderr])
      (handle as { unref?: () => void }).unref?.();
    return new LocalServer(await ready.promise, child, exited);
  }

  async stop(): Promise<void> {
    process.off("exit", this.#killOnExit);
    this.#child.ref();
    this.#child.kill();
    if (!(await settlesWithin(this.#exited, STOPPED_WITHIN_MS))) this.#child.kill("SIGKILL");
    await this.#exited;
  }
}

function findProgram(searchPath: string): string {
  const starts = [process.cwd(), dirname(resolve(process.argv[1] ?? "."))];
  const found =
    starts
      .flatMap(ancestors)
      .map(programIn)
      .find((path) => path !== undefined) ?? programInPath(searchPath);
  if (found !== undefined) return found;
  throw new HeadraceError(
    "LOCAL_SERVER_NOT_FOUND",
    "No server runs, and the program headrace was not found",
    {
      remedy:
        "Install it (npm install --save-dev headrace), set HEADRACE_BIN to its path, or set HEADRACE_ADDRESS " +
        "to a server that runs.",
    },
  );
}

function ancestors(directory: string): string[] {
  const parent = dirname(directory);
  return parent === directory ? [directory] : [directory, ...ancestors(parent)];
}

/** The program of the package "headrace" that is installed in a directory, or is that directory. */
function programIn(directory: string): string | undefined {
  for (const home of [join(directory, "node_modules", "headrace"), directory]) {
    const manifest = join(home, "package.json");
    if (!existsSync(manifest)) continue;
    const { name, bin } = JSON.parse(readFileSync(manifest, "utf8")) as {
      name?: string;
      bin?: Record<string, string>;
    };
    const path = name === "headrace" ? bin?.["headrace"] : undefined;
    if (path !== undefined && existsSync(join(home, path))) return join(home, path);
  }
  return undefined;
}

function programInPath(searchPath: string): string | undefined {
  const directories = searchPath.split(delimiter).filter((directory) => directory !== "");
  return directories.map((directory) => join(directory, "headrace")).find((path) => existsSync(path));
}

function failed(path: string, why: string, log: string, remedy = BY_HAND): HeadraceError {
  const said = log.trim() === "" ? "" : `\n${log.trim()}`;
  const message = `The local server did not start: ${path}: ${why}${said}`;
  const inUse = IN_USE.exec(log);
  if (inUse !== null) return new DataDirInUse(message, inUse[1]);
  return new HeadraceError("LOCAL_SERVER_FAILED", message, { remedy });
}
