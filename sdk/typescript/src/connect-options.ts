import { readFileSync } from "node:fs";

import type { ChannelCredentials } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";

import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import { HeadraceError } from "./errors.js";
import { refuseUnknownOptions, shown } from "./options.js";

/** Where a server listens unless it is told otherwise. */
export const DEFAULT_ADDRESS = "127.0.0.1:7400";

/** Certificates as PEM text. */
export interface TlsOptions {
  /** Who signed the server's certificate. Default: the authorities that Node knows. */
  readonly ca?: string | Uint8Array;
  /** The client's own certificate and key, for mutual TLS. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  /** Name that the server's certificate must have, when it is not the host of the address. */
  readonly serverName?: string;
}

/** What is left out comes from the environment variable named, then from the default. */
export interface ConnectOptions {
  /** host:port. HEADRACE_ADDRESS. Without either, 127.0.0.1:7400, or else a local server is started. */
  readonly address?: string;
  /** HEADRACE_NAMESPACE. Default "default". */
  readonly namespace?: string;
  /** true for TLS with the authorities that Node knows. HEADRACE_TLS=1, HEADRACE_TLS_CA, _CERT, _KEY (files). */
  readonly tls?: boolean | TlsOptions;
  /** Sent as a bearer token. HEADRACE_TOKEN. */
  readonly token?: string;
  /** How long to try to reach the server. Default 10 s. */
  readonly connectTimeout?: DurationLike;
  /** How long a call may take, its repetitions while the server is away included. Default 30 s. */
  readonly callTimeout?: DurationLike;
  /** Told what goes wrong without failing a call, such as a lost connection. Default: process.emitWarning. */
  readonly onWarning?: (message: string) => void;
}

/** Options with the environment and the defaults in them. */
export interface Settings {
  /** Undefined when neither an option nor the environment names one. */
  readonly address: string | undefined;
  readonly namespace: string;
  readonly credentials: ChannelCredentials;
  readonly serverName: string;
  readonly token: string;
  readonly connectTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly warn: (message: string) => void;
  /** The `headrace` program to start a local server with; undefined: look for it. */
  readonly serverProgram: string | undefined;
  /** Directories in which programs are looked for, as PATH lists them. */
  readonly searchPath: string;
  /** What the local server gets as its environment. */
  readonly serverEnv: NodeJS.ProcessEnv;
}

const KNOWN = ["address", "namespace", "tls", "token", "connectTimeout", "callTimeout", "onWarning"];
const HOST_PORT = /^(?:[^\s:/[\]]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})$/;
const PORT_LIMIT = 65_535;
const CLIENT_VARIABLES: ReadonlySet<string> = new Set([
  "HEADRACE_ADDRESS",
  "HEADRACE_NAMESPACE",
  "HEADRACE_TOKEN",
]);
const TLS_KNOWN = ["ca", "cert", "key", "serverName"];

/** The only reader of the environment. Throws INVALID_OPTION. */
export function readSettings(options: ConnectOptions, env: NodeJS.ProcessEnv = process.env): Settings {
  refuseUnknownOptions(options, KNOWN, "connect()");
  const tls = options.tls ?? tlsFrom(env);
  if (typeof tls === "object") refuseUnknownOptions(tls, TLS_KNOWN, "tls");
  return {
    address: addressFrom(options, env),
    namespace: options.namespace ?? nonEmpty(env["HEADRACE_NAMESPACE"]) ?? "default",
    credentials: credentialsOf(tls),
    serverName: typeof tls === "object" ? (tls.serverName ?? "") : "",
    token: options.token ?? env["HEADRACE_TOKEN"] ?? "",
    connectTimeoutMs: parseDuration(options.connectTimeout ?? "10s", "connectTimeout"),
    callTimeoutMs: parseDuration(options.callTimeout ?? "30s", "callTimeout"),
    warn: options.onWarning ?? ((message) => process.emitWarning(message, { type: "HeadraceWarning" })),
    serverProgram: nonEmpty(env["HEADRACE_BIN"]),
    searchPath: env["PATH"] ?? "",
    serverEnv: serverEnvFrom(env),
  };
}

function addressFrom(options: ConnectOptions, env: NodeJS.ProcessEnv): string | undefined {
  const address: unknown = options.address ?? nonEmpty(env["HEADRACE_ADDRESS"]);
  if (address === undefined) return undefined;
  const port = typeof address === "string" ? HOST_PORT.exec(address)?.[1] : undefined;
  if (typeof address === "string" && Number(port) >= 1 && Number(port) <= PORT_LIMIT) return address;
  const field = options.address === undefined ? "HEADRACE_ADDRESS" : "address";
  throw new HeadraceError("INVALID_OPTION", `${field} is ${shown(address)}, not host:port`, {
    field,
    limit: PORT_LIMIT,
    actual: shown(address),
    remedy: `Give a host and a port from 1 to ${PORT_LIMIT}, such as ${DEFAULT_ADDRESS} or [::1]:7400.`,
  });
}

/** These tell clients where to go, or mean something else to a server, which refuses to start with them. */
function serverEnvFrom(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isOfClients = (name: string): boolean =>
    CLIENT_VARIABLES.has(name) || name.startsWith("HEADRACE_TLS");
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isOfClients(name)));
}

function tlsFrom(env: NodeJS.ProcessEnv): boolean | TlsOptions {
  const tls = {
    ...fileOption("ca", env, "HEADRACE_TLS_CA"),
    ...fileOption("cert", env, "HEADRACE_TLS_CERT"),
    ...fileOption("key", env, "HEADRACE_TLS_KEY"),
  };
  if (Object.keys(tls).length > 0) return tls;
  const flag = env["HEADRACE_TLS"] ?? "";
  if (flag === "" || flag === "0" || flag === "false") return false;
  if (flag === "1" || flag === "true") return true;
  throw new HeadraceError("INVALID_OPTION", `HEADRACE_TLS is "${flag}"`, {
    field: "HEADRACE_TLS",
    actual: flag,
    remedy: "Use 1 or 0; a file of authorities goes into HEADRACE_TLS_CA.",
  });
}

function fileOption(name: string, env: NodeJS.ProcessEnv, variable: string): Record<string, Buffer> {
  const path = nonEmpty(env[variable]);
  if (path === undefined) return {};
  try {
    return { [name]: readFileSync(path) };
  } catch (error) {
    throw new HeadraceError("INVALID_OPTION", `The file that ${variable} names cannot be read: ${path}`, {
      field: variable,
      actual: path,
      cause: error,
    });
  }
}

function credentialsOf(tls: boolean | TlsOptions): ChannelCredentials {
  if (tls === false) return credentials.createInsecure();
  if (tls === true) return credentials.createSsl();
  const [ca, key, cert] = [tls.ca, tls.key, tls.cert].map((pem) =>
    pem === undefined ? null : Buffer.from(pem),
  );
  if ((key === null) !== (cert === null)) {
    throw new HeadraceError("INVALID_OPTION", "tls has one of cert and key", {
      field: key === null ? "tls.key" : "tls.cert",
      remedy: "Give both for mutual TLS, or neither.",
    });
  }
  return credentials.createSsl(ca, key, cert);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
