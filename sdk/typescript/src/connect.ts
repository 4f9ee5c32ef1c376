import { connect as connectTcp } from "node:net";

import { credentials } from "@grpc/grpc-js";

import { Client } from "./client.js";
import { Connection } from "./connection.js";
import type { ConnectOptions, Settings } from "./connect-options.js";
import { DEFAULT_ADDRESS, readSettings } from "./connect-options.js";
import { HeadraceError } from "./errors.js";
import { LocalServer } from "./local-server.js";

const PROBE_MS = 1_000;

/**
 * Connects to the server that the options or HEADRACE_ADDRESS name. Without an address it uses the
 * server on this machine, or else starts one for as long as the client is open. Throws
 * SERVER_UNREACHABLE, LOCAL_SERVER_NOT_FOUND, LOCAL_SERVER_FAILED and INVALID_OPTION.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const settings = readSettings(options);
  const { namespace, warn } = settings;
  if (settings.address !== undefined || (await listens(DEFAULT_ADDRESS))) {
    const connection = await reach(settings, settings.address ?? DEFAULT_ADDRESS);
    return new Client({ connection, namespace, warn });
  }
  const localServer = await LocalServer.start(settings.serverProgram, settings.searchPath);
  try {
    const plain = { ...settings, credentials: credentials.createInsecure(), serverName: "", token: "" };
    const connection = await reach(plain, localServer.address);
    return new Client({ connection, namespace, warn, localServer });
  } catch (error) {
    await localServer.stop();
    throw error;
  }
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
