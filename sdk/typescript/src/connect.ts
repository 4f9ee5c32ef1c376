import { connect as connectTcp } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { credentials } from "@grpc/grpc-js";

import type { ClientSource } from "./client.js";
import { Client } from "./client.js";
import { Connection } from "./connection.js";
import type { ConnectOptions, Settings } from "./connect-options.js";
import { DEFAULT_ADDRESS, readSettings } from "./connect-options.js";
import { HeadraceError } from "./errors.js";
import { DataDirInUse, LocalServer, READY_WITHIN_MS } from "./local-server.js";

const PROBE_MS = 1_000;
const IN_USE_PAUSE_MS = 250;

/**
 * Connects to the server that the options or HEADRACE_ADDRESS name. Without an address it uses the
 * server on this machine, or the one that another program has started for this folder, or else starts one
 * for as long as the client is open. Throws SERVER_UNREACHABLE, LOCAL_SERVER_NOT_FOUND,
 * LOCAL_SERVER_FAILED and INVALID_OPTION.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const settings = readSettings(options);
  const { namespace, warn } = settings;
  if (settings.address !== undefined || (await listens(DEFAULT_ADDRESS))) {
    const connection = await reach(settings, settings.address ?? DEFAULT_ADDRESS);
    return new Client({ connection, namespace, warn });
  }
  return new Client({ namespace, warn, ...(await reachLocal(settings)) });
}

type LocalReach = Pick<ClientSource, "connection" | "localServer">;

/**
 * A server of our own or, when another program has started one for the same folder, that one: it has the
 * data that ours would have.
 */
export async function reachLocal(settings: Settings): Promise<LocalReach> {
  const plain = { ...settings, credentials: credentials.createInsecure(), serverName: "", token: "" };
  for (const startedAt = Date.now(); ;) {
    try {
      return await startLocal(plain);
    } catch (error) {
      if (!(error instanceof DataDirInUse)) throw error;
      const shared = error.address === undefined ? undefined : await tryToReach(plain, error.address);
      if (shared !== undefined) return { connection: shared };
      // It may just start, or just end; either is over soon.
      const limitMs = error.address === undefined ? READY_WITHIN_MS : settings.connectTimeoutMs;
      if (Date.now() - startedAt > limitMs) throw error;
      await sleep(IN_USE_PAUSE_MS);
    }
  }
}

async function startLocal(settings: Settings): Promise<LocalReach> {
  const { serverProgram, searchPath, serverEnv } = settings;
  const localServer = await LocalServer.start(serverProgram, searchPath, serverEnv);
  try {
    return { connection: await reach(settings, localServer.address), localServer };
  } catch (error) {
    await localServer.stop();
    throw error;
  }
}

async function tryToReach(settings: Settings, address: string): Promise<Connection | undefined> {
  const connection = new Connection({ ...settings, address });
  if (await connection.ready(Math.min(PROBE_MS, settings.connectTimeoutMs))) return connection;
  connection.close();
  return undefined;
}

async function reach(settings: Settings, address: string): Promise<Connection> {
  const connection = new Connection({ ...settings, address });
  if (await connection.ready(settings.connectTimeoutMs)) return connection;
  connection.close();
  throw new HeadraceError(
    "SERVER_UNREACHABLE",
    `No server answers at ${address} (tried for ${settings.connectTimeoutMs / 1000} s)`,
    {
      field: "address",
      actual: address,
      retryable: true,
      remedy:
        "Start one with: npx headrace dev, or correct the address option or HEADRACE_ADDRESS; " +
        "a server with TLS needs the tls option or HEADRACE_TLS_CA.",
    },
  );
}

/** Whether something accepts connections there. */
function listens(address: string): Promise<boolean> {
  const { hostname, port } = new URL(`tcp://${address}`);
  return new Promise((resolve) => {
    const socket = connectTcp({ host: hostname, port: Number(port), timeout: PROBE_MS });
    const answer = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => answer(true));
    socket.once("timeout", () => answer(false));
    socket.once("error", () => answer(false));
  });
}
