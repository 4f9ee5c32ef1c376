import type { Command } from "commander";
import { StartExecutionResponseSchema } from "../../gen/headrace/v1/execution_service_pb.js";
import type { Cli } from "../cli.js";
import { withClient } from "../client-session.js";
import { addStartOptions, startExecution, type StartOptions } from "../start-request.js";

/** `headrace start`: starts an execution and prints its id. */
export function defineStart(command: Command, cli: Cli): void {
  addStartOptions(command).action((workflow: string, options: StartOptions) =>
    withClient(cli, command, async (session) => {
      const started = await startExecution(session, workflow, options);
      if (session.out.json) session.out.message(StartExecutionResponseSchema, started);
      else session.out.line(started.executionId);
    }),
  );
}
