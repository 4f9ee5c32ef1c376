import type { Command } from "commander";
import {
  ExecutionService,
  GetTaskResponseSchema,
  ListTasksResponseSchema,
  type ListTasksResponse,
} from "../../gen/headrace/v1/execution_service_pb.js";
import type { Cli } from "../cli.js";
import { usageError } from "../cli-error.js";
import { withClient, type ClientSession } from "../client-session.js";
import { executionFacts, payloadSections, taskFacts, taskTable, attemptTable } from "../execution-text.js";
import { printExecutionJson } from "../execution-end.js";
import { EVERYTHING, listPages } from "../pages.js";

interface GetOptions {
  readonly tasks?: boolean;
  readonly task?: string;
}

/** `headrace get`: shows an execution, its tasks or one task. */
export function defineGet(command: Command, cli: Cli): void {
  command
    .argument("<execution-id>", "id of the execution")
    .option("--tasks", "list its tasks")
    .option("--task <id>", "show one task with its payloads and earlier attempts; id[3] for an item of a map")
    .action((executionId: string, options: GetOptions) =>
      withClient(cli, command, async (session) => {
        if (options.task !== undefined && options.tasks === true) {
          throw usageError("--tasks and --task exclude each other", "leave one of them out");
        }
        if (options.task !== undefined) await showTask(session, executionId, options.task);
        else if (options.tasks === true) await showTasks(session, executionId);
        else await showExecution(session, executionId);
      }),
    );
}

async function showExecution(session: ClientSession, executionId: string): Promise<void> {
  const { connection, namespace, out, signal, cli } = session;
  const request = { namespace, executionId };
  const { execution } = await connection.unary(ExecutionService.method.getExecution, request, { signal });
  if (execution === undefined) return;
  if (out.json) {
    printExecutionJson(execution, out);
    return;
  }
  out.facts(
    executionFacts(execution, { nowMs: Date.now(), style: out.style, traceUrl: cli.env.HEADRACE_TRACE_URL }),
  );
  for (const line of payloadSections(execution, out.style)) out.line(line);
}

async function showTasks(session: ClientSession, executionId: string): Promise<void> {
  const { connection, namespace, out, signal } = session;
  const page = await listPages<ListTasksResponse>(EVERYTHING, {
    fetch: (paging) =>
      connection.unary(ExecutionService.method.listTasks, { namespace, executionId, ...paging }, { signal }),
    itemsOf: (response) => response.tasks,
  });
  if (out.json) {
    out.message(ListTasksResponseSchema, page);
    return;
  }
  const { head, rows } = taskTable(page.tasks, { nowMs: Date.now(), style: out.style });
  out.table(head, rows, { keys: ["TASK"] });
}

async function showTask(session: ClientSession, executionId: string, task: string): Promise<void> {
  const { connection, namespace, out, signal } = session;
  const [, taskId = task, index] = /^(.*)\[(\d{1,9})\]$/.exec(task) ?? [];
  const mapIndex = index === undefined ? {} : { mapIndex: Number(index) };
  const request = { namespace, executionId, taskId, ...mapIndex };
  const answer = await connection.unary(ExecutionService.method.getTask, request, { signal });
  if (out.json) {
    out.message(GetTaskResponseSchema, answer);
    return;
  }
  if (answer.task === undefined) return;
  const view = { nowMs: Date.now(), style: out.style };
  out.facts(taskFacts(answer.task, view));
  for (const line of payloadSections(answer.task, out.style)) out.line(line);
  if (answer.attempts.length === 0) return;
  const { head, rows } = attemptTable(answer.attempts, view);
  out.line();
  out.line(out.style.bold("earlier attempts"));
  out.table(head, rows);
}
