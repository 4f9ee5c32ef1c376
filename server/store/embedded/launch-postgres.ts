import { once } from "node:events";
import { open, rm, stat, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { prepareDataDirectory, SUPERUSER } from "./data-directory.js";
import { installedBinaries, type PostgresBinaries } from "./postgres-binaries.js";
import {
  findRunning,
  stopPostmaster,
  waitUntilGone,
  watchUntilGone,
  waitUntilReady,
  type PostmasterFile,
} from "./postmaster.js";
import { serverAccount } from "./server-account.js";
import { explainOutput, explainSpawn, placeOf, runProgram, type ServerPrograms } from "./server-process.js";
import { makePrivateDirectory, SOCKET_PORT, socketDirectoryFor } from "./socket-directory.js";

/** Where and how the bundled PostgreSQL runs. */
export interface EmbeddedOptions {
  /** Directory of the cluster; created when missing. The caller holds the owner lock around it. */
  readonly dataDir: string;
  /** Directory of the unix socket. Default: the data directory. */
  readonly socketDir?: string;
  readonly log: (message: string) => void;
  /** False: faster, and a crash of the machine loses everything. For tests. Default: true. */
  readonly fsync?: boolean;
  /** Default: the programs that came with this installation. */
  readonly binaries?: PostgresBinaries;
  /** Further settings of PostgreSQL by name. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A PostgreSQL that belongs to this process. */
export interface EmbeddedPostgres {
  /** postgres:// URL of its database `postgres`, through the unix socket. */
  readonly url: string;
  readonly pid: number;
  /** True when it was still running from an owner that had been killed. */
  readonly adopted: boolean;
  /** Shuts it down. Everything that was committed is on disk afterwards. May be called again. */
  stop(): Promise<void>;
  /** Calls once when it ends without having been stopped, with what its log says. */
  onExit(listener: (reason: string) => void): void;
}

const LOG_FILE = "headrace-postgres.log";
const MAX_LOG_BYTES = 10 * 1024 * 1024;
const SLOW_START_MS = 5_000;
const START_TRIES = 50;
const START_RETRY_MS = 100;

/**
 * Starts PostgreSQL on a data directory, or adopts the one that still runs there. It listens on a
 * unix socket only, and whoever can reach the socket is trusted.
 *
 * It runs in a session of its own, because Ctrl-C in a terminal must end this process first. So when
 * this process is killed, PostgreSQL goes on alone and idle, until the next start on the same
 * directory adopts it or somebody ends it: `kill -INT` and the first line of postmaster.pid.
 *
 * Throws DATABASE_UNUSABLE when there are no programs for this platform, when the data belong to
 * another version or user, and when PostgreSQL does not start.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  const account = serverAccount();
  const programs = { binaries: options.binaries ?? installedBinaries(account), account };
  await prepareDataDirectory(dataDir, programs, { sync: options.fsync !== false });
  const running = await findAdoptable(dataDir);
  if (running !== undefined) {
    options.log(`Adopted the PostgreSQL that was still running in ${dataDir} (pid ${running.pid})`);
    return new RunningPostgres(dataDir, running, true, options.log);
  }
  const started = await start(dataDir, programs, options);
  return new RunningPostgres(dataDir, started, false, options.log);
}

async function findAdoptable(dataDir: string): Promise<PostmasterFile | undefined> {
  const running = await findRunning(dataDir);
  if (running === undefined || running.status === "ready") return running;
  if (running.status !== "stopping") return waitUntilReady(dataDir, running.pid);
  await waitUntilGone(running.pid);
  return undefined;
}

async function start(
  dataDir: string,
  programs: ServerPrograms,
  options: EmbeddedOptions,
): Promise<PostmasterFile> {
  const socket = socketDirectoryFor(resolve(options.socketDir ?? dataDir));
  if (socket.path !== dataDir) await makePrivateDirectory(socket.path, programs.account);
  for (let tries = 1; ; tries += 1) {
    const attempt = await startOnce(dataDir, socket.path, programs, options);
    if (typeof attempt !== "string") return attempt;
    // Processes of a postmaster that was killed leave by themselves within moments.
    const isHeld = /pre-existing shared memory block|lock file ".*" already exists/.test(attempt);
    if (!isHeld || tries === START_TRIES) {
      throw explainOutput(
        `PostgreSQL did not start on ${dataDir} (log: ${join(dataDir, LOG_FILE)})`,
        attempt,
      );
    }
    await sleep(START_RETRY_MS);
  }
}

/** Answers what PostgreSQL said when it ended instead of becoming ready. */
async function startOnce(
  dataDir: string,
  socketDir: string,
  programs: ServerPrograms,
  options: EmbeddedOptions,
): Promise<PostmasterFile | string> {
  const place = placeOf(dataDir, programs.account);
  const path = join(dataDir, LOG_FILE);
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  const logFile = await open(path, size > MAX_LOG_BYTES ? "w" : "a", 0o600);
  try {
    const from = size > MAX_LOG_BYTES ? 0 : size;
    const socketName = socketDir === dataDir ? place.name : socketDir;
    const args = ["-D", place.name, ...settingArguments(socketName, programs.binaries.major, options)];
    const child = runProgram(programs, "postgres", args, {
      cwd: place.workingDirectory,
      stdio: ["ignore", logFile.fd, logFile.fd],
    });
    const { pid } = child;
    if (pid === undefined) throw explainSpawn((await once(child, "error"))[0], programs);
    child.unref();
    const ready = await waitPatiently(dataDir, pid, options.log);
    return ready ?? (await readFile(path, "utf8")).slice(from);
  } finally {
    await logFile.close();
  }
}

/** After a crash PostgreSQL first recovers, which may take long; that is said and not cut short. */
async function waitPatiently(
  dataDir: string,
  pid: number,
  log: (message: string) => void,
): Promise<PostmasterFile | undefined> {
  const timer = setTimeout(() => log(`PostgreSQL is still starting on ${dataDir}`), SLOW_START_MS);
  try {
    return await waitUntilReady(dataDir, pid);
  } finally {
    clearTimeout(timer);
  }
}

function settingArguments(socketDir: string, major: number, options: EmbeddedOptions): string[] {
  const settings: Record<string, string> = {
    listen_addresses: "",
    port: String(SOCKET_PORT),
    unix_socket_directories: socketDir,
    unix_socket_permissions: "0700",
    max_connections: "100",
    shared_buffers: "128MB",
    max_wal_size: "512MB",
    synchronous_commit: "on",
    autovacuum_naptime: "10s",
    max_parallel_workers_per_gather: "0",
    jit: "off",
    log_checkpoints: "off",
    log_line_prefix: "%m [%p] %a ",
    ...(options.fsync === false ? { fsync: "off", full_page_writes: "off" } : {}),
    // One process reads for all by default; at this size that only costs memory.
    ...(major >= 18 ? { io_method: "sync" } : {}),
    ...options.settings,
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

class RunningPostgres implements EmbeddedPostgres {
  readonly url: string;
  readonly pid: number;
  readonly adopted: boolean;
  readonly #dataDir: string;
  readonly #socketDir: string;
  readonly #log: (message: string) => void;
  readonly #exited: Promise<void>;
  #stopping: Promise<void> | undefined;

  constructor(dataDir: string, file: PostmasterFile, adopted: boolean, log: (message: string) => void) {
    this.#dataDir = dataDir;
    this.#log = log;
    this.pid = file.pid;
    this.adopted = adopted;
    // A server that stands in its directory names the socket by where it stands.
    this.#socketDir = file.socketDir === "/proc/self/cwd" ? dataDir : file.socketDir;
    const address = new URLSearchParams({ host: this.#socketDir, port: String(file.port), user: SUPERUSER });
    this.url = `postgres:///postgres?${address.toString()}`;
    this.#exited = watchUntilGone(file.pid);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  onExit(listener: (reason: string) => void): void {
    void this.#exited.then(async () => {
      if (this.#stopping !== undefined) return;
      const log = await readFile(join(this.#dataDir, LOG_FILE), "utf8").catch(() => "");
      listener(explainOutput(`PostgreSQL (pid ${this.pid}) ended by itself`, log).message);
    });
  }

  async #stop(): Promise<void> {
    await stopPostmaster(this.pid, this.#log);
    const { path, temporary } = socketDirectoryFor(this.#dataDir);
    if (temporary && path === this.#socketDir) await rm(path, { recursive: true, force: true });
  }
}
