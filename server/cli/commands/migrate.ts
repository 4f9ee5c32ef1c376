import type { Command } from "commander";
import type { Cli } from "../cli.js";
import { CliError, EXIT, usageError } from "../cli-error.js";
import { createOutput } from "../output.js";
import { aborted } from "../serve.js";
import { addSettingOptions, readConfig } from "../setting-options.js";

/** `headrace migrate`: brings the tables to this version, or tells what is pending. */
export function defineMigrate(command: Command, cli: Cli): void {
  addSettingOptions(command)
    .option("--check", "change nothing; exit with 1 when migrations are pending")
    .addHelpText(
      "after",
      "\nServers migrate when they start; this is for doing it before, or with other rights.",
    )
    .action(async (options: { check?: boolean }) => {
      const config = readConfig(command, cli);
      if (config.databaseUrl === undefined) {
        throw usageError(
          "DATABASE_URL is not set, so there is nothing to migrate",
          "set DATABASE_URL=postgres://user:password@host:5432/database; `headrace dev` migrates its own database",
        );
      }
      const out = createOutput(cli, command);
      const parts = await cli.loadServerParts();
      const log = parts.createLog(config, cli.stderr, false);
      if (options.check !== true) {
        const applied = await unlessInterrupted(cli, parts.migrate(config, log));
        if (out.json) out.line(JSON.stringify({ applied }));
        else out.line(applied.length === 0 ? "nothing to do" : `applied ${applied.join(", ")}`);
        return;
      }
      const pending = await unlessInterrupted(cli, parts.pendingMigrations(config, log));
      if (out.json) out.line(JSON.stringify({ pending }));
      if (pending.length > 0) throw pendingError(pending);
      if (!out.json) out.line("nothing is pending");
    });
}

/** Waiting for a database cannot be called off; it ends with the process, and the database undoes the rest. */
async function unlessInterrupted<T>(cli: Cli, work: Promise<T>): Promise<T> {
  const interrupt = aborted(cli.interrupted).then(() => {
    throw new CliError(EXIT.interrupted, "interrupted before the migrations were through", {
      reason: "INTERRUPTED",
      remedy: "run it again; a migration that was not finished has changed nothing",
    });
  });
  return Promise.race([work, interrupt]);
}

function pendingError(pending: readonly string[]): CliError {
  return new CliError(EXIT.notCompleted, `migrations are pending: ${pending.join(", ")}`, {
    reason: "MIGRATIONS_PENDING",
    remedy: "run `headrace migrate`",
  });
}
