import type { Command, Option } from "commander";
import { EXIT_CODE_MEANINGS } from "../../server/cli/cli-error.js";
import type { Cli } from "../../server/cli/cli.js";
import { clientOptions, createProgram, defineAll } from "../../server/cli/program.js";
import { markdownTable } from "./markdown-table.js";

/** Hidden in help as well; other hidden options are for programs, which need their documentation. */
const HIDDEN_UNTIL_SUPPORTED = "--against-workers";

/** Nothing of it is used while commands are only defined. */
const cli: Cli = {
  env: {},
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  interrupted: new AbortController().signal,
  loadServerParts: () => Promise.reject(new Error("no command runs here")),
};
const program = createProgram(cli);
await defineAll(program, cli);

/** The table of exit codes in server/docs/cli.md. */
export function renderExitCodes(): string {
  return markdownTable(
    ["code", "meaning"],
    EXIT_CODE_MEANINGS.map(([code, meaning]) => [String(code), meaning]),
  );
}

/** The table of the options that every command takes. */
export function renderGlobalOptions(): string {
  return optionTable([...program.options, ...clientOptions()]);
}

/** A section for each command with its arguments and options. */
export function renderCommands(): string {
  return leaves(program).map(commandSection).join("\n\n");
}

/** Commands that do something, which are those without subcommands. */
function leaves(command: Command): Command[] {
  return command.commands.flatMap((child) => (child.commands.length === 0 ? [child] : leaves(child)));
}

function commandSection(command: Command): string {
  const parts = [`### ${fullName(command)}`, command.description()];
  if (command.registeredArguments.length > 0) {
    const rows = command.registeredArguments.map((argument) => [
      argument.required ? `\`<${argument.name()}>\`` : `\`[${argument.name()}]\``,
      argument.description,
    ]);
    parts.push(markdownTable(["argument", "meaning"], rows));
  }
  const options = command.options.filter(
    (option) => !isSetting(option) && !isClientOption(option) && option.flags !== HIDDEN_UNTIL_SUPPORTED,
  );
  if (options.length > 0) parts.push(optionTable(options));
  if (command.options.some(isSetting)) {
    parts.push("Takes a flag for every setting in [configuration.md](configuration.md).");
  }
  return parts.join("\n\n");
}

/** Flags of settings stand in groups of their own, and on a page of their own. */
function isSetting(option: Option): boolean {
  return option.helpGroupHeading !== undefined;
}

/** Those stand in the table of the options of every command. */
function isClientOption({ flags }: Option): boolean {
  return clientOptions().some((option) => option.flags === flags);
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

function optionTable(options: readonly Option[]): string {
  return markdownTable(
    ["option", "meaning"],
    options.map((option) => [`\`${option.flags}\``, optionMeaning(option)]),
  );
}

function optionMeaning({ description, argChoices, defaultValue }: Option): string {
  const choices = argChoices === undefined ? "" : ` (${argChoices.join(", ")})`;
  const hasDefault = typeof defaultValue === "string";
  return description + choices + (hasDefault ? ` (default: ${defaultValue})` : "");
}
