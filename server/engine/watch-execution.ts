import { isTerminal } from "../core/status.js";
import type { TaskView, WatchUpdate } from "./api.js";
import type { ExecutionReader } from "./execution-reader.js";
import type { ExecutionStore } from "./execution-store.js";
import type { PlanCache } from "./plan-cache.js";
import { Signal } from "./signal.js";
import type { Watch } from "./watch.js";

/** Changes of one execution within this time are told as one. */
const SETTLE_MS = 20;

interface WatchContext {
  readonly plans: PlanCache;
  readonly store: ExecutionStore;
  readonly watch: Watch;
  readonly reader: ExecutionReader;
}

/**
 * The state of an execution now and each change until it has ended. The database is read for each
 * update, so it does not matter which replica commits; the revision is the cursor, and tasks that are
 * out are compared as well, because claims do not grow the revision.
 */
export async function* watchExecution(
  context: WatchContext,
  namespace: string,
  executionId: string,
  { afterRevision, signal }: { afterRevision: number; signal: AbortSignal },
): AsyncGenerator<WatchUpdate> {
  const namespaceId = await context.plans.namespaceId(namespace);
  const changed = new Signal();
  const unwatch = context.watch.onChange({ namespaceId, executionId }, () => changed.raise());
  const seen = new Map<string, string>();
  try {
    for (let revision = afterRevision, first = true; !signal.aborted; first = false) {
      // Before reading: what happens from here on may not be in what is read.
      changed.take();
      const execution = await context.reader.get(namespace, executionId);
      const rows = await context.store.listTasksSince(namespaceId, executionId, revision);
      const tasks = rows.map((row) => context.reader.viewOf(row)).filter((task) => isNews(seen, task));
      if (first || tasks.length > 0 || execution.revision > revision) yield { execution, tasks };
      revision = Math.max(revision, execution.revision);
      if (isTerminal(execution.status)) return;
      await changed.wait(Infinity, signal);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    }
  } finally {
    unwatch();
  }
}

/** Whether a task differs from what this watcher was told last. */
function isNews(seen: Map<string, string>, task: TaskView): boolean {
  const key = `${task.taskId}/${task.mapIndex}`;
  const { done, total, message } = task.progress ?? { done: 0, total: 0, message: "" };
  const state = `${task.status}/${task.attempt}/${task.lease}/${done}/${total}/${message}`;
  if (seen.get(key) === state) return false;
  seen.set(key, state);
  return true;
}
