import type { Command } from "commander";
import { unknownVariables, type Environment } from "../config.js";
import type { Cli } from "./cli.js";
import { CliError, EXIT } from "./cli-error.js";
import { Connection } from "./connection.js";
import { createOutput, type Output } from "./output.js";
import { resolveTls } from "./client-tls.js";
import type { ClientOptions } from "./global-options.js";

/** What a command that calls a server works with. */
export interface ClientSession {
  readonly connection: Connection;
  readonly namespace: string;
  readonly out: Output;
  readonly cli: Cli;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
}

/** Where `headrace dev` and `headrace serve` listen by default. */
const DEFAULT_ADDRESS = "127.0.0.1:7400";
const DEFAULT_NAMESPACE = "default";

/** Runs the action of a client command with a connection that is closed afterwards. */
export async function withClient(
  cli: Cli,
  command: Command,
  action: (session: ClientSession) => Promise<void>,
): Promise<void> {
  refuseUnknownVariables(cli.env);
  const options = command.optsWithGlobals<ClientOptions>();
  const address = options.address ?? given(cli.env, "HEADRACE_ADDRESS") ?? DEFAULT_ADDRESS;
  const connection = new Connection({
    address,
    tls: resolveTls(options, cli.env, address),
    token: given(cli.env, "HEADRACE_TOKEN"),
  });
  try {
    await action({
      connection,
      namespace: options.namespace ?? given(cli.env, "HEADRACE_NAMESPACE") ?? DEFAULT_NAMESPACE,
      out: createOutput(cli, command),
      cli,
      signal: cli.interrupted,
    });
  } finally {
    connection.close();
  }
}

function given(env: Environment, name: string): string | undefined {
  return env[name] === "" ? undefined : env[name];
}

/** A mistyped variable would silently mean the default server or namespace. */
function refuseUnknownVariables(env: Environment): void {
  const violations = unknownVariables(env);
  if (violations.length === 0) return;
  throw new CliError(EXIT.usage, "the environment has variables that nothing reads", {
    reason: "UNKNOWN_NAME",
    violations,
    remedy: "correct or unset them",
  });
}
