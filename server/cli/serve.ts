import type { Config } from "../config.js";
import { SETTINGS } from "../config/settings.js";
import type { Cli } from "./cli.js";
import { CliError, EXIT } from "./cli-error.js";
import { fileErrorText } from "./file-error.js";
import type { RunningServer } from "../main.js";

interface RunOptions {
  readonly json: boolean;
  /** Called once the server accepts calls, before it is announced. */
  readonly onReady?: (address: string) => Promise<void>;
  /** Rejects when the server must stop because something it needs is gone. */
  readonly broken?: Promise<never>;
}

/**
 * Runs a server until the user interrupts. Standard output gets one line when it is ready; everything
 * else goes to the log.
 */
export async function runServer(
  cli: Cli,
  config: Config,
  start: () => Promise<RunningServer>,
  { json, onReady, broken }: RunOptions,
): Promise<void> {
  const starting = start().catch((error: unknown) => {
    throw explainStartError(error, config);
  });
  const interrupted = aborted(cli.interrupted);
  const server = await Promise.race([starting, interrupted]);
  // What is starting cannot be called off, such as waiting for a database; it ends with the process.
  if (server === undefined) throw new CliError(EXIT.interrupted, "interrupted before the server was ready");
  try {
    await onReady?.(server.address);
    cli.stdout.write(
      json ? `${JSON.stringify({ address: server.address })}\n` : `headrace: ready on ${server.address}\n`,
    );
    await Promise.race([interrupted, ...(broken === undefined ? [] : [broken])]);
  } finally {
    await server.stop();
  }
}

const TLS_SETTINGS = ["tlsCertFile", "tlsKeyFile", "tlsClientCaFile"] as const;

/** Resolves when the user interrupts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Node's errors of files and of listening as errors that say what to do. */
function explainStartError(error: unknown, config: Config): unknown {
  const { host, port } = config;
  const { code, path } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  const tlsSetting = TLS_SETTINGS.find((name) => path !== undefined && config[name] === path);
  if (tlsSetting !== undefined) {
    const { env, flag } = SETTINGS[tlsSetting];
    return new CliError(
      EXIT.usage,
      `the file ${path ?? ""} of ${env[0]} cannot be read: ${fileErrorText(error)}`,
      {
        reason: "FILE_UNREADABLE",
        remedy: `correct ${env[0]} or ${flag}, or the rights of the file`,
        cause: error,
      },
    );
  }
  const facts = { field: "port", actual: String(port), cause: error };
  if (code === "EADDRINUSE") {
    return new CliError(EXIT.refused, `port ${port} of ${host} is in use`, {
      ...facts,
      reason: "ADDRESS_IN_USE",
      remedy: "stop what listens there, or choose another with --port; 0 takes a free one",
    });
  }
  if (code === "EACCES") {
    return new CliError(EXIT.refused, `this user may not listen on port ${port}`, {
      ...facts,
      reason: "ADDRESS_REFUSED",
      remedy: "choose a port from 1024 upwards with --port",
    });
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new CliError(EXIT.usage, `${host} is no address of this machine`, {
      reason: "ADDRESS_UNKNOWN",
      field: "host",
      actual: host,
      remedy: "set --host to an address of this machine, such as 127.0.0.1 or 0.0.0.0",
      cause: error,
    });
  }
  return error;
}
