import type { Command } from "commander";
import { resolveConfig, type ResolvedConfig } from "../../config.js";
import { maskDatabaseUrl } from "../../config/database-url.js";
import { SETTING_LIST } from "../../config/settings.js";
import type { Cli } from "../cli.js";
import { createOutput, type Output } from "../output.js";
import { addSettingOptions, readFlags } from "../setting-options.js";

/** `headrace config print`: shows the settings of the server. */
export function defineConfig(command: Command, cli: Cli): void {
  command.helpCommand(false);
  const printing = command
    .command("print")
    .description("Print each setting with its value and where it came from.");
  addSettingOptions(printing).action(() =>
    print(resolveConfig(cli.env, readFlags(printing)), createOutput(cli, printing)),
  );
}

function print(resolved: ResolvedConfig, out: Output): void {
  const shown = SETTING_LIST.map(([name, setting]) => ({
    name,
    variable: setting.env[0],
    flag: setting.flag,
    value: shownText(resolved, name),
    source: resolved.origins[name].source,
  }));
  if (out.json) {
    out.line(JSON.stringify({ settings: shown }, null, 2));
    return;
  }
  const { dim } = out.style;
  const rows = shown.map(({ variable, value, source }) => [
    variable,
    value ?? dim("unset"),
    source === "default" ? dim(source) : source,
  ]);
  out.table(["SETTING", "VALUE", "SOURCE"], rows);
}

/** As written, passwords replaced; null when unset. */
function shownText({ origins }: ResolvedConfig, name: (typeof SETTING_LIST)[number][0]): string | null {
  const { text } = origins[name];
  return text === undefined ? null : name === "databaseUrl" ? maskDatabaseUrl(text) : text;
}
