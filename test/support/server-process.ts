import type { ExecutionContext } from "ava";
import { Child } from "./child.js";
import { CLI_PATH } from "./run-cli.js";

export interface ServerOptions {
  readonly databaseUrl?: string;
  /** Default: "serve". */
  readonly command?: "serve" | "dev";
  /** Default: a free one. */
  readonly port?: number;
  /** Settings as variables of the environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** `headrace serve` or `headrace dev` as a process of its own. */
export interface ServerProcess extends Child {
  readonly address: string;
  readonly port: number;
}

/** A first start of `headrace dev` makes a database cluster, on a machine that may be busy. */
const READY_WITHIN_MS = 30_000;

/** Starts a server without waiting for it. Killed at the end of the test. */
export function spawnServer(t: ExecutionContext, options: ServerOptions): Child {
  const { databaseUrl, command = "serve", port = 0, env, cwd } = options;
  const child = new Child(CLI_PATH, [command, "--port", String(port)], {
    env: { ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }), ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  t.teardown(() => child.kill());
  return child;
}

/** Starts a server and waits until it accepts calls. */
export async function startServer(t: ExecutionContext, options: ServerOptions): Promise<ServerProcess> {
  return untilReady(spawnServer(t, options));
}

/** Waits for the line by which a server says that it accepts calls. */
export async function untilReady(child: Child): Promise<ServerProcess> {
  const [, address = ""] = await child.lineOf(/^headrace: ready on (\S+)$/, READY_WITHIN_MS);
  return Object.assign(child, { address, port: Number(address.split(":").at(-1)) });
}
