import { Option, type Command } from "commander";
import { loadConfig, type Config, type Flags } from "../config.js";
import type { Setting } from "../config/setting.js";
import { SETTING_LIST, type SettingName } from "../config/settings.js";
import { usageError } from "./cli-error.js";
import type { Cli } from "./cli.js";
import type { GlobalOptions } from "./global-options.js";

/** Gives a command a flag for every setting of the server. */
export function addSettingOptions(command: Command): Command {
  command.configureHelp({ showGlobalOptions: false });
  for (const [, setting] of SETTING_LIST) command.addOption(optionOf(setting));
  return command;
}

/** The settings from the flags of a command and the environment. Throws a HeadraceError with all mistakes. */
export function readConfig(command: Command, cli: Cli): Config {
  return loadConfig(cli.env, readFlags(command));
}

/** The flags of settings that were given, as written. */
export function readFlags(command: Command): Flags {
  refuseClientOptions(command);
  const values = command.opts<Record<string, string | undefined>>();
  const flags: Partial<Record<SettingName, string>> = {};
  for (const [name, setting] of SETTING_LIST) {
    const value = values[optionOf(setting).attributeName()];
    if (value !== undefined) flags[name] = value;
  }
  return flags;
}

function optionOf(setting: Setting<unknown>): Option {
  const fallback = setting.default === undefined ? "" : `, default ${setting.default}`;
  return new Option(
    `${setting.flag} <${setting.kind.name}>`,
    `${setting.description} (${setting.env.join(" or ")}${fallback})`,
  ).helpGroup(`${setting.group}:`);
}

/** Commands of the server call no server; an option for that would be ignored. */
function refuseClientOptions(command: Command): void {
  const { address, namespace, tlsCa } = command.optsWithGlobals<GlobalOptions>();
  for (const [flag, value] of Object.entries({
    "--address": address,
    "--namespace": namespace,
    "--tls-ca": tlsCa,
  })) {
    if (value === undefined) continue;
    throw usageError(
      `${flag} is for commands that call a server, \`headrace ${command.name()}\` does not`,
      flag === "--address" ? "set --host and --port to choose where it listens" : "leave it out",
    );
  }
}
