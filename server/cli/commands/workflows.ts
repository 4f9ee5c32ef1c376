import { Option, type Command } from "commander";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { WorkflowSpec } from "../../gen/headrace/v1/workflow_pb.js";
import {
  GetWorkflowResponseSchema,
  ListWorkflowsResponseSchema,
  ListWorkflowVersionsResponseSchema,
  PutWorkflowResponseSchema,
  ValidateWorkflowResponseSchema,
  WorkflowService,
  type ListWorkflowsResponse,
  type ListWorkflowVersionsResponse,
  type WorkflowSummary,
} from "../../gen/headrace/v1/workflow_service_pb.js";
import type { Cli } from "../cli.js";
import { CliError, EXIT } from "../cli-error.js";
import { withClient, type ClientSession } from "../client-session.js";
import { addPageOptions, listPages, nextPageHint, type PageOptions } from "../pages.js";
import { oneLine, relativeTime } from "../text.js";
import { readWorkflowFile, sourceName } from "../workflow-file.js";

interface ListOptions extends PageOptions {
  readonly prefix?: string;
}

/** `headrace workflows`: list, get, put, validate and versions. */
export function defineWorkflows(command: Command, cli: Cli): void {
  command.helpCommand(false);
  const listing = command.command("list").description("List workflows by name.");
  addPageOptions(listing.option("--prefix <text>", "only names that begin so"), 100).action(
    (options: ListOptions) => withClient(cli, listing, (session) => list(session, options)),
  );
  const getting = command.command("get").description("Show a workflow.");
  getting
    .argument("<name>", "name of the workflow")
    .option("--version <version>", "a version, or the first 6 or more digits of it (default: the latest)")
    .action((name: string, options: { version?: string }) =>
      withClient(cli, getting, (session) => get(session, name, options.version ?? "")),
    );
  const putting = command
    .command("put")
    .description("Store a workflow; the same content gives the same version.");
  putting
    .argument("<file>", "the proto JSON form of WorkflowSpec, or - for standard input")
    .action((file: string) => withClient(cli, putting, (session) => put(session, file)));
  const validating = command
    .command("validate")
    .description("Tell what is wrong with a workflow without storing it.");
  validating
    .argument("<file>", "the proto JSON form of WorkflowSpec, or - for standard input")
    // The server refuses it as not supported yet, so nobody is offered it.
    .addOption(
      new Option("--against-workers", "also ask whether connected workers serve every task").hideHelp(),
    )
    .action((file: string, options: { againstWorkers?: boolean }) =>
      withClient(cli, validating, (session) => validate(session, file, options.againstWorkers === true)),
    );
  const versions = command.command("versions").description("List the versions of a workflow, newest first.");
  addPageOptions(versions.argument("<name>", "name of the workflow"), 100).action(
    (name: string, options: PageOptions) =>
      withClient(cli, versions, (session) => listVersions(session, name, options)),
  );
}

async function list(
  { connection, namespace, out, signal }: ClientSession,
  options: ListOptions,
): Promise<void> {
  const namePrefix = options.prefix ?? "";
  const page = await listPages<ListWorkflowsResponse>(options, {
    fetch: (paging) =>
      connection.unary(
        WorkflowService.method.listWorkflows,
        { namespace, namePrefix, ...paging },
        { signal },
      ),
    itemsOf: (response) => response.workflows,
  });
  if (out.json) {
    out.message(ListWorkflowsResponseSchema, page);
    return;
  }
  if (page.workflows.length === 0) {
    out.line(`no such workflow in namespace ${namespace}`);
    return;
  }
  const head = ["NAME", "VERSION", "TASKS", "STORED", "DESCRIPTION"];
  out.table(head, page.workflows.map(summaryRow), { keys: ["NAME"], uncut: ["VERSION"] });
  for (const hint of nextPageHint(page.nextPageToken)) out.line(out.style.dim(hint));
}

async function listVersions(session: ClientSession, name: string, options: PageOptions): Promise<void> {
  const { connection, namespace, out, signal } = session;
  const page = await listPages<ListWorkflowVersionsResponse>(options, {
    fetch: (paging) =>
      connection.unary(
        WorkflowService.method.listWorkflowVersions,
        { namespace, name, ...paging },
        { signal },
      ),
    itemsOf: (response) => response.versions,
  });
  if (out.json) {
    out.message(ListWorkflowVersionsResponseSchema, page);
    return;
  }
  const rows = page.versions.map((version) => {
    const [, ...rest] = summaryRow(version);
    return [...rest, version.latest ? out.style.green("latest") : ""];
  });
  out.table(["VERSION", "TASKS", "STORED", "DESCRIPTION", ""], rows, { keys: ["VERSION"] });
  for (const hint of nextPageHint(page.nextPageToken)) out.line(out.style.dim(hint));
}

function summaryRow(workflow: WorkflowSummary): string[] {
  return [
    workflow.name,
    workflow.version,
    String(workflow.taskCount),
    workflow.createdAt === undefined ? "" : relativeTime(timestampMs(workflow.createdAt), Date.now()),
    oneLine(workflow.description),
  ];
}

async function get(session: ClientSession, name: string, version: string): Promise<void> {
  const { connection, namespace, out, signal } = session;
  const request = { namespace, name, version };
  const answer = await connection.unary(WorkflowService.method.getWorkflow, request, { signal });
  if (out.json) {
    out.message(GetWorkflowResponseSchema, answer);
    return;
  }
  const { workflow } = answer;
  if (workflow === undefined) return;
  const stored =
    workflow.createdAt === undefined ? "" : relativeTime(timestampMs(workflow.createdAt), Date.now());
  out.facts([
    ["workflow", workflow.name],
    ["version", `${workflow.version}${workflow.latest ? out.style.green(" latest") : ""}`],
    ["stored", stored],
    ["description", oneLine(workflow.spec?.description ?? "")],
    ["output", oneLine(workflow.spec?.output ?? "")],
  ]);
  out.line();
  out.table(["TASK", "HANDLER", "QUEUE", "DEPENDS ON"], taskRows(workflow.spec), { keys: ["TASK"] });
}

function taskRows(spec: WorkflowSpec | undefined): string[][] {
  return (spec?.tasks ?? []).map((task) => [
    task.id,
    task.handler === "" ? task.id : task.handler,
    task.queue === "" ? "default" : task.queue,
    task.dependsOn.join(", "),
  ]);
}

async function put({ connection, namespace, out, signal, cli }: ClientSession, file: string): Promise<void> {
  const spec = await readWorkflowFile(file, cli);
  const answer = await connection.unary(WorkflowService.method.putWorkflow, { namespace, spec }, { signal });
  if (out.json) out.message(PutWorkflowResponseSchema, answer);
  else out.line(`${answer.name} ${answer.version} ${answer.created ? "stored" : "was stored before"}`);
}

async function validate(session: ClientSession, file: string, againstWorkers: boolean): Promise<void> {
  const { connection, namespace, out, signal, cli } = session;
  const spec = await readWorkflowFile(file, cli);
  const request = { namespace, spec, againstWorkers };
  const answer = await connection.unary(WorkflowService.method.validateWorkflow, request, { signal });
  if (out.json) out.message(ValidateWorkflowResponseSchema, answer);
  else if (answer.valid) out.line(`${spec.name} is valid, version ${answer.version}`);
  if (answer.valid) return;
  throw new CliError(EXIT.usage, `${sourceName(file)} is not a valid workflow`, {
    reason: "INVALID_WORKFLOW",
    violations: answer.problems.map(({ path, reason, message }) => ({ field: path, reason, message })),
    remedy: "correct these problems",
  });
}
