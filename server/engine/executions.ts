import { checkStart, type CheckedStart } from "../core/check-start.js";
import type { ExecutionFacts } from "../core/execution-state.js";
import type { Limits } from "../core/limits.js";
import { NULL_PAYLOAD } from "../core/payload.js";
import type { Plan } from "../core/plan.js";
import { isTerminal, type ExecutionStatus } from "../core/status.js";
import { traceIdOf } from "../core/trace-context.js";
import { checkInput } from "../core/validate-input.js";
import type { ExecutionApi, ExecutionView, StartAnswer, StartRequest } from "./api.js";
import { executionNotFound } from "./apply-commands.js";
import type { Clock } from "./clock.js";
import type { Committer } from "./committer.js";
import type { ExecutionReader } from "./execution-reader.js";
import type { ExecutionStore } from "./execution-store.js";
import type { Explainer } from "./explain.js";
import { uuidv7 } from "./ids.js";
import type { PlanCache } from "./plan-cache.js";
import type { StartCommand } from "./request.js";
import { Signal } from "./signal.js";
import type { Watch } from "./watch.js";
import { watchExecution } from "./watch-execution.js";
import { versionText } from "./workflow-version.js";

/** What the use cases of executions work with. */
export interface ExecutionContext {
  readonly committer: Committer;
  readonly store: ExecutionStore;
  readonly plans: PlanCache;
  readonly watch: Watch;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly reader: ExecutionReader;
}

/** Starting, following and ending executions. */
export class Executions implements ExecutionApi {
  readonly #context: ExecutionContext;
  readonly #reader: ExecutionReader;
  readonly #explainer: Explainer;

  constructor(context: ExecutionContext, explainer: Explainer) {
    this.#context = context;
    this.#reader = context.reader;
    this.#explainer = explainer;
  }

  async start(namespace: string, request: StartRequest): Promise<StartAnswer> {
    const { plans, committer, limits } = this.#context;
    const checked = checkStart(request, limits);
    const namespaceId = await plans.namespaceId(namespace);
    const plan = await plans.resolve(namespaceId, request.workflow, request.version);
    const facts = this.#facts(namespaceId, plan, request, checked);
    checkInput(plan, facts.input);
    const answer = await committer.request<StartAnswer>((reply) =>
      startCommand(facts, request, checked, reply),
    );
    return { ...answer, version: versionText(answer.version) };
  }

  get: ExecutionApi["get"] = (namespace, executionId) => this.#reader.get(namespace, executionId);
  list: ExecutionApi["list"] = (namespace, query) => this.#reader.list(namespace, query);
  listTasks: ExecutionApi["listTasks"] = (namespace, query) => this.#reader.listTasks(namespace, query);

  getTask: ExecutionApi["getTask"] = (namespace, executionId, taskId, mapIndex) =>
    this.#reader.getTask(namespace, executionId, taskId, mapIndex);

  explain: ExecutionApi["explain"] = async (namespace, executionId, taskId) => {
    const namespaceId = await this.#context.plans.namespaceId(namespace);
    return await this.#explainer.explain(namespaceId, executionId, taskId);
  };

  async wait(
    namespace: string,
    executionId: string,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<ExecutionView | undefined> {
    const { plans, watch } = this.#context;
    const namespaceId = await plans.namespaceId(namespace);
    const ended = new Signal();
    // Listening begins before reading, so that an end in between is not missed.
    const unwatch = watch.onEnd({ namespaceId, executionId }, () => ended.raise());
    try {
      const before = await this.#reader.get(namespace, executionId);
      if (isTerminal(before.status)) return before;
      await ended.wait(timeoutMs, signal);
      const after = await this.#reader.get(namespace, executionId);
      return isTerminal(after.status) ? after : undefined;
    } finally {
      unwatch();
    }
  }

  watch: ExecutionApi["watch"] = (namespace, executionId, options) =>
    watchExecution(this.#context, namespace, executionId, options);

  async cancel(
    namespace: string,
    executionId: string,
    { reason, graceMs }: { reason: string; graceMs: number },
  ): Promise<{ accepted: boolean; status: ExecutionStatus }> {
    const { plans, committer, store } = this.#context;
    const namespaceId = await plans.namespaceId(namespace);
    if ((await store.getExecution(namespaceId, executionId)) === undefined)
      throw executionNotFound(executionId);
    return await committer.request((reply) => ({
      kind: "cancel",
      namespaceId,
      executionId,
      reason,
      graceMs,
      reply,
    }));
  }

  #facts(
    namespaceId: number,
    plan: Plan,
    request: StartRequest,
    { executionId, traceParent }: CheckedStart,
  ): ExecutionFacts {
    const createdAtMs = this.#context.clock.nowMs();
    const id = executionId === "" ? uuidv7(createdAtMs) : executionId;
    const deadlineMs = Math.min(plan.deadlineMs ?? Infinity, request.deadlineMs ?? Infinity);
    return {
      namespaceId,
      executionId: id,
      plan,
      input: request.input ?? NULL_PAYLOAD,
      createdAtMs,
      priority: request.priority,
      traceId: traceParent?.traceId ?? traceIdOf(id),
      traceFlags: traceParent === undefined ? undefined : Number(traceParent.sampled),
      deadlineAtMs: deadlineMs === Infinity ? undefined : createdAtMs + deadlineMs,
    };
  }
}

function startCommand(
  facts: ExecutionFacts,
  request: StartRequest,
  { traceParent }: CheckedStart,
  reply: StartCommand["reply"],
): StartCommand {
  const labels = { ...facts.plan.labels, ...request.labels };
  return {
    kind: "start",
    facts,
    idempotencyKey: request.idempotencyKey === "" ? undefined : request.idempotencyKey,
    labels: Object.keys(labels).length === 0 ? undefined : labels,
    parentSpanId: traceParent === undefined ? undefined : Buffer.from(traceParent.spanId, "hex"),
    tracestate: traceParent === undefined || request.tracestate === "" ? undefined : request.tracestate,
    versionAsked: request.version !== "",
    onEnd: request.onEnd,
    signal: request.signal,
    reply,
  };
}
