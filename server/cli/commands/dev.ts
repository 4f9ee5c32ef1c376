import { Option, type Command } from "commander";
import type { Config } from "../../config.js";
import { HeadraceError } from "../../core/errors.js";
import type { Cli } from "../cli.js";
import { CliError, EXIT } from "../cli-error.js";
import type { GlobalOptions } from "../global-options.js";
import { runServer } from "../serve.js";
import type { DevDatabase } from "../../main.js";
import { addSettingOptions, readConfig } from "../setting-options.js";
import { wantsColor } from "../style.js";
import { whileParentLives } from "../while-parent-lives.js";

/** `headrace dev`: a server with its own PostgreSQL, both in this terminal. */
export function defineDev(command: Command, cli: Cli): void {
  addSettingOptions(command)
    .addOption(
      new Option(
        "--with-parent",
        "end when standard input closes; for programs that start a server of their own, which must not outlive them",
      ).hideHelp(),
    )
    .addHelpText(
      "after",
      `
The database is kept in the data directory, so what ran stays after a restart. With DATABASE_URL set, that
database is used instead. Standard output gets one line, "headrace: ready on <host:port>"; Ctrl-C stops both.`,
    )
    .action(async () => {
      const { withParent = false } = command.opts<{ withParent?: boolean }>();
      const run = (around: Cli): Promise<void> => runDev(command, around);
      await (withParent ? whileParentLives(cli, run) : run(cli));
    });
}

async function runDev(command: Command, cli: Cli): Promise<void> {
  const config = readConfig(command, cli);
  const { json = false, color } = command.optsWithGlobals<GlobalOptions>();
  const parts = await cli.loadServerParts();
  const log = parts.createLog(config, cli.stderr, wantsColor(cli.stderr, cli.env, color === false));
  if (config.databaseUrl !== undefined) {
    await runServer(cli, config, () => parts.startServer(config, log), { json });
    return;
  }
  const database = await parts
    .startDevDatabase(config.dataDir, log)
    .catch((error: unknown) => Promise.reject(explainDataDir(error)));
  try {
    const own: Config = Object.freeze({ ...config, databaseUrl: database.url });
    await runServer(cli, own, () => parts.startServer(own, log), {
      json,
      onReady: (address) => database.setAddress(address),
      broken: whenGone(database),
    });
  } finally {
    await database.stop();
  }
}

/** What the store says of a directory that cannot be used, with the settings that name it. */
function explainDataDir(error: unknown): unknown {
  if (!(error instanceof HeadraceError) || error.facts.field !== "data_dir") return error;
  return new CliError(EXIT.usage, error.message, {
    reason: error.reason,
    remedy: "choose another directory with --data-dir or HEADRACE_DATA_DIR",
    cause: error,
  });
}

/** Rejects when PostgreSQL ends by itself; without it the server could only refuse. */
function whenGone(database: DevDatabase): Promise<never> {
  const gone = new Promise<never>((_, reject) => {
    database.onExit((reason) =>
      reject(
        new CliError(EXIT.internal, reason, {
          reason: "DATABASE_GONE",
          remedy: "start again; what was acknowledged is on disk",
        }),
      ),
    );
  });
  // It may end before anybody waits for this, which is no unhandled rejection.
  gone.catch(() => undefined);
  return gone;
}
