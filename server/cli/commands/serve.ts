import type { Command } from "commander";
import type { Cli } from "../cli.js";
import { usageError } from "../cli-error.js";
import type { GlobalOptions } from "../global-options.js";
import { runServer } from "../serve.js";
import { addSettingOptions, readConfig } from "../setting-options.js";
import { wantsColor } from "../style.js";

/** `headrace serve`: a server on a PostgreSQL that is there. */
export function defineServe(command: Command, cli: Cli): void {
  addSettingOptions(command).action(async () => {
    const config = readConfig(command, cli);
    if (config.databaseUrl === undefined) {
      throw usageError(
        "a server needs a PostgreSQL database, and DATABASE_URL is not set",
        "set DATABASE_URL=postgres://user:password@host:5432/database, or use `headrace dev`, which brings its own",
      );
    }
    const { json = false, color } = command.optsWithGlobals<GlobalOptions>();
    const parts = await cli.loadServerParts();
    const log = parts.createLog(config, cli.stderr, wantsColor(cli.stderr, cli.env, color === false));
    await runServer(cli, config, () => parts.startServer(config, log), { json });
  });
}
