import { create } from "@bufbuild/protobuf";
import type { Execution, Task } from "../gen/headrace/v1/execution_pb.js";
import {
  ExecutionService,
  WatchExecutionResponseSchema,
  type ListTasksResponse,
  type WatchExecutionResponse,
} from "../gen/headrace/v1/execution_service_pb.js";
import { WorkflowService } from "../gen/headrace/v1/workflow_service_pb.js";
import { CliError, EXIT } from "./cli-error.js";
import type { ClientSession } from "./client-session.js";
import { createModel, taskKey, type ExecutionModel } from "./execution-model.js";
import { followExecution } from "./follow.js";
import { LineWatch } from "./line-watch.js";
import { LiveWatch } from "./live-watch.js";
import { EVERYTHING, listPages } from "./pages.js";
import type { Screen } from "./screen.js";
import { isExecutionOver } from "./status.js";

/**
 * Shows an execution until its end and resolves with its last state: as JSON lines, as a live view on a
 * terminal, or as one line for each change elsewhere.
 */
export async function watchExecution(
  session: ClientSession,
  executionId: string,
  screen: Screen,
): Promise<Execution> {
  if (session.out.json) return watchAsJson(session, executionId);
  const model = await loadModel(session, executionId);
  const view = screen.stream.isTTY ? new LiveWatch(session, model, screen) : new LineWatch(model, screen);
  try {
    for await (const update of followExecution(session, executionId, (error) => view.lost(error))) {
      view.update(update);
    }
    view.update(await loadRest(session, model));
  } finally {
    view.close();
  }
  return model.execution;
}

async function watchAsJson(session: ClientSession, executionId: string): Promise<Execution> {
  let last: Execution | undefined;
  const told = new Set<string>();
  for await (const update of followExecution(session, executionId, () => undefined)) {
    for (const task of update.tasks) told.add(taskKey(task));
    last = update.execution ?? last;
    if (last !== undefined && isExecutionOver(last.status) && told.size < countTasks(last)) {
      update.tasks.push(...(await loadUntold(session, executionId, told)));
    }
    session.out.messageLine(WatchExecutionResponseSchema, update);
  }
  if (last === undefined) throw new CliError(EXIT.internal, "the server told nothing of the execution");
  return last;
}

function countTasks({ taskCounts }: Execution): number {
  return Object.values(taskCounts).reduce((sum, count) => sum + count, 0);
}

async function loadModel(
  { connection, namespace, signal }: ClientSession,
  executionId: string,
): Promise<ExecutionModel> {
  const { execution } = await connection.unary(
    ExecutionService.method.getExecution,
    { namespace, executionId, withoutPayloads: true },
    { signal },
  );
  if (execution === undefined) throw new CliError(EXIT.internal, "the server answered without an execution");
  const { workflow } = await connection.unary(
    WorkflowService.method.getWorkflow,
    { namespace, name: execution.workflow, version: execution.version },
    { signal },
  );
  return createModel(execution, workflow?.spec?.tasks ?? []);
}

/**
 * What the end of an execution did to tasks that never got a row, such as those that waited when it was
 * cancelled. A watch tells of rows only.
 */
async function loadRest(
  session: ClientSession,
  { execution, rows, tasks }: ExecutionModel,
): Promise<WatchExecutionResponse> {
  const rest = create(WatchExecutionResponseSchema);
  if (!isExecutionOver(execution.status) || rows.every(({ key }) => tasks.has(key))) return rest;
  rest.tasks = await loadUntold(session, execution.executionId, tasks);
  return rest;
}

async function loadUntold(
  { connection, namespace, signal }: ClientSession,
  executionId: string,
  told: { has(key: string): boolean },
): Promise<Task[]> {
  const page = await listPages<ListTasksResponse>(EVERYTHING, {
    fetch: (paging) =>
      connection.unary(ExecutionService.method.listTasks, { namespace, executionId, ...paging }, { signal }),
    itemsOf: (response) => response.tasks,
  });
  return page.tasks.filter((task) => !told.has(taskKey(task)));
}
