import type { Plan } from "../core/plan.js";
import { isTerminal } from "../core/status.js";
import type { TaskView, WaitReason } from "./api.js";
import type { Dispatcher } from "./dispatcher.js";
import { taskNotFound, type ExecutionReader } from "./execution-reader.js";
import type { LeaseStore, ListedSession } from "./lease-store.js";
import type { PlanCache } from "./plan-cache.js";
import type { StoredExecutionView } from "./execution-store.js";

const REASONS_MAX = 100;
const SESSIONS_MAX = 1_000;

/** What the explanation is made from. */
export interface ExplainContext {
  readonly reader: ExecutionReader;
  readonly plans: PlanCache;
  readonly store: LeaseStore;
  readonly dispatcher: Dispatcher;
}

/** Answers why tasks of an execution are not running. */
export class Explainer {
  readonly #context: ExplainContext;

  constructor(context: ExplainContext) {
    this.#context = context;
  }

  /** One reason for each open task, or for the one that is asked for. */
  async explain(
    namespaceId: number,
    executionId: string,
    taskId: string,
  ): Promise<{ status: StoredExecutionView["status"]; reasons: readonly WaitReason[] }> {
    const { reader, plans, store } = this.#context;
    const execution = await reader.find(namespaceId, executionId);
    const tasks = await reader.tasks(namespaceId, execution);
    if (taskId !== "" && !tasks.some((task) => task.taskId === taskId))
      throw taskNotFound(executionId, taskId, -1);
    const plan = await plans.getPlan(namespaceId, execution.workflow, execution.version);
    const sessions = await store.listSessions(namespaceId, NIL_UUID, SESSIONS_MAX);
    const wanted = tasks.filter((task) =>
      taskId === "" ? !isTerminal(task.status) : task.taskId === taskId,
    );
    const known = new Map(tasks.map((task) => [task.taskId, task]));
    const reasons = wanted
      .slice(0, REASONS_MAX)
      .map((task) => this.#reason({ namespaceId, execution, plan, sessions, known }, task));
    return { status: execution.status, reasons };
  }

  #reason(facts: ExplainFacts, task: TaskView): WaitReason {
    switch (task.status) {
      case "PENDING":
        return waitsForDependencies(facts, task);
      case "SCHEDULED":
        return why(task, "RETRY_DELAY", `Attempt ${task.attempt} begins after its back-off.`, {
          untilMs: task.dueAtMs,
        });
      case "READY":
        return this.#waitsForWorker(facts, task);
      case "RUNNING":
        return runs(facts, task);
      default:
        return why(task, task.status, `It has ended: ${task.status}.`);
    }
  }

  #waitsForWorker({ namespaceId, sessions }: ExplainFacts, task: TaskView): WaitReason {
    const { queue, handler } = task;
    const serving = sessions.filter(
      (session) => session.queues.includes(queue) && session.handlers.includes(handler) && !session.draining,
    );
    if (serving.length === 0) {
      return why(task, "NO_WORKER", `No connected worker serves handler "${handler}" on queue "${queue}".`);
    }
    const slots = serving.reduce((sum, session) => sum + session.slots, 0);
    const held = serving.reduce((sum, session) => sum + session.held, 0);
    const { backlog, credit } = this.#context.dispatcher.describe({ namespaceId, queue, handler });
    if (backlog && credit > 0)
      return why(task, "BEHIND_BACKLOG", "Older or more urgent tasks of its queue and handler go first.");
    const workers = `${serving.length} worker${serving.length === 1 ? "" : "s"}`;
    return why(task, "NO_FREE_SLOT", `${workers} serve it and hold ${held} tasks in ${slots} slots.`);
  }
}

interface ExplainFacts {
  readonly namespaceId: number;
  readonly execution: StoredExecutionView;
  readonly plan: Plan;
  readonly sessions: readonly ListedSession[];
  readonly known: ReadonlyMap<string, TaskView>;
}

/** Sorts before every session id. */
const NIL_UUID = "00000000-0000-0000-0000-000000000000";

function waitsForDependencies({ plan, known }: ExplainFacts, task: TaskView): WaitReason {
  const dependsOn = plan.tasks.find(({ id }) => id === task.taskId)?.dependsOn ?? [];
  const waitsFor = dependsOn
    .map((index) => plan.tasks[index]?.id ?? "")
    .filter((id) => !isTerminal(known.get(id)?.status ?? "PENDING"));
  if (waitsFor.length === 0)
    return why(
      task,
      "OPENING",
      "Its dependencies have completed; it becomes ready with one of the next commits.",
    );
  const shown =
    waitsFor.slice(0, 5).join(", ") + (waitsFor.length > 5 ? `, and ${waitsFor.length - 5} more` : "");
  return why(task, "DEPENDENCIES", `It waits for ${shown}.`, { waitsFor });
}

function runs({ execution }: ExplainFacts, task: TaskView): WaitReason {
  const by = task.worker === "" ? "a worker" : `worker "${task.worker}"`;
  if (execution.cancelRequestedAtMs === undefined)
    return why(task, "RUNNING", `Attempt ${task.attempt} runs on ${by}.`);
  return why(task, "CANCEL_GRACE", `It was told to stop and still runs on ${by}.`);
}

function why(
  task: TaskView,
  reason: string,
  message: string,
  more: { untilMs?: number | undefined; waitsFor?: readonly string[] } = {},
): WaitReason {
  const { taskId, mapIndex, status } = task;
  return { taskId, mapIndex, status, reason, message, untilMs: more.untilMs, waitsFor: more.waitsFor ?? [] };
}
