import { SETTING_GROUPS, type Setting } from "../../server/config/setting.js";
import { CLIENT_VARIABLES, SETTING_LIST } from "../../server/config/settings.js";
import { markdownTable } from "./markdown-table.js";

/** The tables of server/docs/configuration.md, one for each group of settings. */
export function renderSettings(): string {
  return SETTING_GROUPS.map((group) => {
    const rows = SETTING_LIST.filter(([, setting]) => setting.group === group).map(([, setting]) =>
      settingRow(setting),
    );
    return `### ${group}\n\n${markdownTable(["variable", "flag", "value", "default", "meaning"], rows)}`;
  }).join("\n\n");
}

/** The table of the variables that clients read. */
export function renderClientVariables(): string {
  const rows = Object.entries(CLIENT_VARIABLES).map(([name, meaning]) => [`\`${name}\``, withCode(meaning)]);
  return markdownTable(["variable", "meaning"], rows);
}

function settingRow({ env, flag, kind, default: fallback, description }: Setting<unknown>): string[] {
  const needsKind = ["number", "bytes", "duration", "seconds"].includes(kind.name);
  return [
    env.map((name) => `\`${name}\``).join(" or "),
    `\`${flag}\``,
    needsKind ? `${kind.name}, ${kind.allowed}` : kind.allowed,
    fallback === undefined ? "unset" : `\`${fallback}\``,
    withCode(description),
  ];
}

/** Names of variables as code. */
function withCode(text: string): string {
  return text.replaceAll(/\b[A-Z]+(_[A-Z]+)+\b/g, "`$&`");
}
