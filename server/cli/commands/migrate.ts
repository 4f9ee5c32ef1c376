import type { Command } from "commander";
import type { Cli } from "../cli.js";
import { CliError, EXIT, usageError } from "../cli-error.js";
import { createOutput } from "../output.js";
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
        const applied = await parts.migrate(config, log);
        if (out.json) out.line(JSON.stringify({ applied }));
        else out.line(applied.length === 0 ? "nothing to do" : `applied ${applied.join(", ")}`);
        return;
      }
      const pending = await parts.pendingMigrations(config, log);
      if (out.json) out.line(JSON.stringify({ pending }));
      if (pending.length > 0) throw pendingError(pending);
      if (!out.json) out.line("nothing is pending");
    });
}

function pendingError(pending: readonly string[]): CliError {
  return new CliError(EXIT.notCompleted, `migrations are pending: ${pending.join(", ")}`, {
    reason: "MIGRATIONS_PENDING",
    remedy: "run `headrace migrate`",
  });
}
