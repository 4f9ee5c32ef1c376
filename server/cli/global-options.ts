import type { Command } from "commander";
import type { Cli } from "./cli.js";

/** Options that every command takes, before or after its name. */
export interface GlobalOptions {
  readonly address?: string;
  readonly namespace?: string;
  readonly tlsCa?: string;
  readonly json?: boolean;
  /** False when --no-color is given. */
  readonly color?: boolean;
}

/** Options of the commands that call a server. */
export interface ClientOptions extends GlobalOptions {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** Adds arguments, options and the action of a command. */
export type DefineCommand = (command: Command, cli: Cli) => void;
