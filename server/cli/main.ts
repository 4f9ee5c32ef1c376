#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { CommanderError } from "commander";
import { readEnvironment } from "../config.js";
import { CliError, errorJson, errorText, EXIT, toCliError, type ExitCode } from "./cli-error.js";
import type { Cli } from "./cli.js";
import { COMMANDS, createProgram, normalizeArguments } from "./program.js";
import { loadServerParts } from "./load-server-parts.js";
import { createStyle, wantsColor } from "./style.js";
import { fileErrorText } from "./file-error.js";

const SAME_INTERRUPT_MS = 500;

// What dependencies plan to change is nothing that users of the command line can act on.
(process as NodeJS.Process & { noDeprecation?: boolean }).noDeprecation = true;

const exitCode = await main(process.argv.slice(2), {
  env: readEnvironment(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  interrupted: listenForInterrupts(),
  loadServerParts,
});
// An interrupt leaves behind what could not be called off; everything else ends by itself.
if (exitCode === EXIT.interrupted) process.exit(exitCode);
process.exitCode = exitCode;

async function main(argv: readonly string[], cli: Cli): Promise<ExitCode> {
  leaveWhenUnwritable(cli, argv);
  const { version, args } = normalizeArguments(argv);
  if (version) {
    cli.stdout.write(`${readVersion()}\n`);
    return EXIT.ok;
  }
  try {
    const program = createProgram(cli);
    if (args.length === 0) program.help();
    await program.parseAsync(args, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    return report(error, args, cli);
  }
}

function report(error: unknown, args: readonly string[], cli: Cli): ExitCode {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  // A command that only has subcommands was called without one: its help is what was asked for.
  if (error instanceof CommanderError && error.code === "commander.help") return EXIT.ok;
  const shown = error instanceof CommanderError ? fromCommander(error, args) : toCliError(error);
  print(shown, args, cli);
  return shown.exitCode;
}

function print(error: CliError, args: readonly string[], cli: Cli): void {
  const style = createStyle(wantsColor(cli.stderr, cli.env, args.includes("--no-color")));
  cli.stderr.write(args.includes("--json") ? errorJson(error) : errorText(error, style));
}

/** Commander's "error: unknown option '--x'\n(Did you mean --y?)" as an error like all others. */
function fromCommander(error: CommanderError, args: readonly string[]): CliError {
  const [, what = error.message, meant] =
    /^(?:error: )?(.*?)(?:\s*\((Did you mean .*\?)\))?$/s.exec(error.message) ?? [];
  const remedy =
    meant === undefined ? `see \`headrace ${calledCommand(args)}--help\`` : meant.replace(/^D/, "d");
  return new CliError(EXIT.usage, what, { reason: "USAGE", remedy });
}

/** The command and its subcommand among the arguments, each with a space behind it. */
function calledCommand([first = "", second = ""]: readonly string[]): string {
  if (COMMANDS[first] === undefined) return "";
  const isSubcommand = COMMANDS[first].subcommands?.includes(second) === true;
  return isSubcommand ? `${first} ${second} ` : `${first} `;
}

/**
 * The first interrupt asks to stop; another one does not wait. Ctrl-C reaches this process from the
 * terminal and again from npx, which forwards it, so what comes at once is the same interrupt.
 */
function listenForInterrupts(): AbortSignal {
  const controller = new AbortController();
  let firstAt = 0;
  const interrupt = (): void => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort();
    } else if (performance.now() - firstAt > SAME_INTERRUPT_MS) process.exit(EXIT.interrupted);
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return controller.signal;
}

/** `headrace list | head` closes the pipe early, which is no error; a full disk is one. */
function leaveWhenUnwritable(cli: Cli, args: readonly string[]): void {
  cli.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    const failure = new CliError(EXIT.unwritable, `the output cannot be written: ${fileErrorText(error)}`, {
      reason: "OUTPUT_UNWRITABLE",
      remedy: "make room, or send the output elsewhere; what was asked of the server may have been done",
      cause: error,
    });
    print(failure, args, cli);
    process.exit(failure.exitCode);
  });
  // Nobody is left to tell when errors cannot be written either.
  cli.stderr.on("error", () => undefined);
}

function readVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return manifest.version;
}
