import { Command, Option } from "commander";
import { EXIT_CODE_MEANINGS } from "./cli-error.js";
import type { Cli } from "./cli.js";
import type { DefineCommand } from "./global-options.js";

interface CommandEntry {
  readonly summary: string;
  readonly group: string;
  readonly subcommands?: readonly string[];
  /** Loaded only when the command is called, so that each start loads just what it needs. */
  load(): Promise<DefineCommand>;
}

const SERVER = "Server:";
const WORKFLOWS = "Workflows:";
const EXECUTIONS = "Executions:";

/** Every command, in the order of help. */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  dev: {
    group: SERVER,
    summary: "start a server for development, with its own PostgreSQL",
    load: async () => (await import("./commands/dev.js")).defineDev,
  },
  serve: {
    group: SERVER,
    summary: "start a server on the PostgreSQL of DATABASE_URL",
    load: async () => (await import("./commands/serve.js")).defineServe,
  },
  migrate: {
    group: SERVER,
    summary: "bring the tables to this version",
    load: async () => (await import("./commands/migrate.js")).defineMigrate,
  },
  config: {
    group: SERVER,
    summary: "show the settings of the server",
    subcommands: ["print"],
    load: async () => (await import("./commands/config.js")).defineConfig,
  },
  workflows: {
    group: WORKFLOWS,
    summary: "list, get, put and validate workflows",
    subcommands: ["list", "get", "put", "validate", "versions"],
    load: async () => (await import("./commands/workflows.js")).defineWorkflows,
  },
  run: {
    group: EXECUTIONS,
    summary: "start an execution, wait for its end and print the output",
    load: async () => (await import("./commands/run.js")).defineRun,
  },
  start: {
    group: EXECUTIONS,
    summary: "start an execution and print its id",
    load: async () => (await import("./commands/start.js")).defineStart,
  },
  get: {
    group: EXECUTIONS,
    summary: "show an execution, its tasks or one task",
    load: async () => (await import("./commands/get.js")).defineGet,
  },
  list: {
    group: EXECUTIONS,
    summary: "list executions, newest first",
    load: async () => (await import("./commands/list.js")).defineList,
  },
  watch: {
    group: EXECUTIONS,
    summary: "follow an execution to its end",
    load: async () => (await import("./commands/watch.js")).defineWatch,
  },
  cancel: {
    group: EXECUTIONS,
    summary: "cancel an execution",
    load: async () => (await import("./commands/cancel.js")).defineCancel,
  },
  why: {
    group: EXECUTIONS,
    summary: "tell why tasks are not running",
    load: async () => (await import("./commands/why.js")).defineWhy,
  },
  workers: {
    group: "Workers:",
    summary: "list the connected workers",
    load: async () => (await import("./commands/workers.js")).defineWorkers,
  },
};

/** The command line. Commands get their options when they are called, or all at once by `defineAll`. */
export function createProgram(cli: Cli): Command {
  const program = new Command("headrace")
    .description("Headrace runs workflows: task graphs over gRPC, durable in PostgreSQL.")
    .usage("<command> [options]")
    .helpCommand(false)
    .helpOption("-h, --help", "show help")
    .addOption(
      new Option("--address <host:port>", "server to call (HEADRACE_ADDRESS, default 127.0.0.1:7400)"),
    )
    .addOption(
      new Option("--namespace <name>", 'namespace to work in (HEADRACE_NAMESPACE, default "default")'),
    )
    .addOption(
      new Option(
        "--tls-ca <file>",
        "call over TLS and check the server against these (HEADRACE_TLS_CA; HEADRACE_TLS=1: the system's)",
      ),
    )
    .addOption(new Option("--json", "print JSON: one object, or one a line for streams"))
    .addOption(new Option("--no-color", "print without colours (NO_COLOR)"))
    .addHelpText("after", `\nExit codes:\n${exitCodeHelp()}`)
    .configureHelp({ showGlobalOptions: true })
    // Errors are thrown and printed once, by main.
    .configureOutput({ outputError: () => undefined, writeErr: (text) => cli.stdout.write(text) })
    .exitOverride();
  for (const [name, { summary, group }] of Object.entries(COMMANDS)) {
    // `description` is what a command's own help begins with, `summary` its line in the list.
    program.command(name).summary(summary).description(sentence(summary)).helpGroup(group);
  }
  program.hook("preSubcommand", async (_, command) => {
    // Only entries of COMMANDS are defined late; nested commands come with their parent.
    const entry = command.parent === program ? COMMANDS[command.name()] : undefined;
    if (entry !== undefined) await define(entry, command, cli);
  });
  return program;
}

/** Defines all commands at once, for documentation of the whole. */
export async function defineAll(program: Command, cli: Cli): Promise<void> {
  for (const command of program.commands) {
    const entry = COMMANDS[command.name()];
    if (entry !== undefined) await define(entry, command, cli);
  }
}

/** Options of the commands that call a server. To those of the server the same flags mean its own certificate. */
export function clientOptions(): Option[] {
  return [
    new Option("--tls-cert <file>", "the client's own certificate, for servers that demand one"),
    new Option("--tls-key <file>", "the private key of that certificate"),
  ];
}

async function define(entry: CommandEntry, command: Command, cli: Cli): Promise<void> {
  if (entry.group !== SERVER) for (const option of clientOptions()) command.addOption(option);
  (await entry.load())(command, cli);
}

/**
 * The arguments with `help <command>` and `--version` as the commands that they mean. Commander would
 * take a --version of its own away from every command that has an option of this name.
 */
export function normalizeArguments(args: readonly string[]): { version: boolean; args: string[] } {
  const [first, ...rest] = args;
  if (first === "help") return { version: false, args: [...rest, "--help"] };
  return { version: first === "--version" || first === "-V", args: [...args] };
}

function exitCodeHelp(): string {
  return EXIT_CODE_MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(5)}${meaning}\n`).join("");
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}
