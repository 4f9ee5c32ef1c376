import type { Command } from "commander";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ListWorkersResponseSchema,
  WorkerService,
  type ListWorkersResponse,
  type Worker,
} from "../../gen/headrace/v1/worker_service_pb.js";
import type { Cli } from "../cli.js";
import { withClient } from "../client-session.js";
import { addPageOptions, listPages, nextPageHint, type PageOptions } from "../pages.js";
import type { Style } from "../style.js";
import { oneLine, relativeTime } from "../text.js";

/** `headrace workers`: lists the connected workers. */
export function defineWorkers(command: Command, cli: Cli): void {
  addPageOptions(command, 100).action((options: PageOptions) =>
    withClient(cli, command, async ({ connection, namespace, out, signal }) => {
      const page = await listPages<ListWorkersResponse>(options, {
        fetch: (paging) =>
          connection.unary(WorkerService.method.listWorkers, { namespace, ...paging }, { signal }),
        itemsOf: (response) => response.workers,
      });
      if (out.json) {
        out.message(ListWorkersResponseSchema, page);
        return;
      }
      if (page.workers.length === 0) {
        out.line(`no worker is connected to namespace ${namespace}`);
        return;
      }
      const nowMs = Date.now();
      const head = ["NAME", "BUSY", "QUEUES", "HANDLERS", "SDK", "CONNECTED", "SESSION"];
      out.table(
        head,
        page.workers.map((worker) => workerRow(worker, nowMs, out.style)),
        { uncut: ["SESSION"] },
      );
      for (const hint of nextPageHint(page.nextPageToken)) out.line(out.style.dim(hint));
    }),
  );
}

function workerRow(worker: Worker, nowMs: number, style: Style): string[] {
  const slots = worker.slots > 0 ? `/${worker.slots}` : "";
  return [
    oneLine(worker.name) + (worker.draining ? style.yellow(" draining") : ""),
    `${worker.held}${slots}`,
    oneLine(worker.queues.join(", ")),
    oneLine(worker.handlers.join(", ")),
    oneLine(`${worker.sdkName} ${worker.sdkVersion}`.trim()),
    worker.connectedAt === undefined ? "" : relativeTime(timestampMs(worker.connectedAt), nowMs),
    worker.sessionId,
  ];
}
