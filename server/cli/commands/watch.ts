import type { Command } from "commander";
import type { Cli } from "../cli.js";
import { withClient } from "../client-session.js";
import { explainInterrupt, requireCompleted } from "../execution-end.js";
import { watchExecution } from "../watch-execution.js";

/** `headrace watch`: follows an execution to its end. */
export function defineWatch(command: Command, cli: Cli): void {
  command.argument("<execution-id>", "id of the execution").action((executionId: string) =>
    withClient(cli, command, async (session) => {
      try {
        const screen = { stream: cli.stdout, style: session.out.style };
        requireCompleted(await watchExecution(session, executionId, screen));
      } catch (error) {
        throw explainInterrupt(error, executionId);
      }
    }),
  );
}
