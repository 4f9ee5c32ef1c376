import type { Command } from "commander";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Execution } from "../../gen/headrace/v1/execution_pb.js";
import {
  ExecutionService,
  ListExecutionsResponseSchema,
  type ListExecutionsResponse,
} from "../../gen/headrace/v1/execution_service_pb.js";
import type { Cli } from "../cli.js";
import { withClient, type ClientSession } from "../client-session.js";
import { collect, readLabels, readPastTime } from "../option-values.js";
import { addPageOptions, listPages, nextPageHint, type PageOptions } from "../pages.js";
import { executionStatusLabel, parseExecutionStatus } from "../status.js";
import type { Style } from "../style.js";
import { durationLabel, relativeTime } from "../text.js";

interface ListOptions extends PageOptions {
  readonly workflow?: string;
  readonly version?: string;
  readonly status?: readonly string[];
  readonly label?: readonly string[];
  readonly since?: string;
  readonly until?: string;
}

/** `headrace list`: lists executions. */
export function defineList(command: Command, cli: Cli): void {
  command
    .option("--workflow <name>", "only of this workflow")
    .option("--version <version>", "only of this version")
    .option("--status <status>", "only with this status, such as running or failed; may be repeated", collect)
    .option("--label <key=value>", "only with this label; may be repeated", collect)
    .option("--since <time>", "only created after this: 1h, 7d or 2026-01-31T12:00:00Z")
    .option("--until <time>", "only created before this");
  addPageOptions(command, 50).action((options: ListOptions) =>
    withClient(cli, command, (session) => list(session, options)),
  );
}

async function list(
  { connection, namespace, out, signal }: ClientSession,
  options: ListOptions,
): Promise<void> {
  const nowMs = Date.now();
  const filter = readFilter(options, nowMs);
  const page = await listPages<ListExecutionsResponse>(options, {
    fetch: (paging) =>
      connection.unary(ExecutionService.method.listExecutions, { namespace, filter, ...paging }, { signal }),
    itemsOf: (response) => response.executions,
  });
  if (out.json) {
    out.message(ListExecutionsResponseSchema, page);
    return;
  }
  if (page.executions.length === 0) {
    out.line(`no such execution in namespace ${namespace}`);
    return;
  }
  const rows = page.executions.map((execution) => executionRow(execution, nowMs, out.style));
  out.table(["ID", "WORKFLOW", "STATUS", "CREATED", "TOOK", "LABELS"], rows, { keys: ["ID"] });
  for (const hint of nextPageHint(page.nextPageToken)) out.line(out.style.dim(hint));
}

function readFilter(options: ListOptions, nowMs: number) {
  const createdAfter = readPastTime(options.since, "--since", nowMs);
  const createdBefore = readPastTime(options.until, "--until", nowMs);
  const words = (options.status ?? []).flatMap((value) => value.split(","));
  return {
    workflow: options.workflow ?? "",
    version: options.version ?? "",
    statuses: words.map((word) => parseExecutionStatus(word.trim())),
    labels: readLabels(options.label ?? []),
    ...(createdAfter === undefined ? {} : { createdAfter }),
    ...(createdBefore === undefined ? {} : { createdBefore }),
  };
}

function executionRow(execution: Execution, nowMs: number, style: Style): string[] {
  const { createdAt, startedAt, finishedAt } = execution;
  const began = startedAt ?? createdAt;
  const ended = finishedAt === undefined ? nowMs : timestampMs(finishedAt);
  return [
    execution.executionId,
    execution.workflow,
    executionStatusLabel(execution.status, style),
    createdAt === undefined ? "" : relativeTime(timestampMs(createdAt), nowMs),
    began === undefined ? "" : durationLabel(ended - timestampMs(began)),
    Object.entries(execution.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(" "),
  ];
}
