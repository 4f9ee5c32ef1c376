import { advance, begin } from "../../server/core/advance.js";
import type { Command, Outcome } from "../../server/core/command.js";
import { compilePlan } from "../../server/core/compile-plan.js";
import { openDraft, type Draft } from "../../server/core/draft.js";
import { newState, type ExecutionState } from "../../server/core/execution-state.js";
import { DEFAULT_LIMITS } from "../../server/core/limits.js";
import { OpeningBudget } from "../../server/core/opening-budget.js";
import { jsonPayload, parseJson, type Payload } from "../../server/core/payload.js";
import type { Plan } from "../../server/core/plan.js";
import type { TaskStatus } from "../../server/core/status.js";
import type { TaskSpec, WorkflowSpec } from "../../server/core/workflow-spec.js";

/** A plan of these tasks; a spec that does not compile fails the test with its problems. */
export function planOf(tasks: readonly TaskSpec[], more: Partial<WorkflowSpec> = {}): Plan {
  const compiled = compilePlan({ name: "test", tasks, ...more }, DEFAULT_LIMITS);
  if ("problems" in compiled) throw new Error(JSON.stringify(compiled.problems));
  return compiled.plan;
}

/** One execution driven by hand, with a clock of its own. */
export class CoreExecution {
  readonly state: ExecutionState;
  readonly plan: Plan;
  nowMs = 1_000_000;
  /** The draft of the last step. */
  draft: Draft;

  /** Every output that there was, by plan index; the state forgets those that nothing reads any more. */
  readonly outputs = new Map<number, Payload>();
  /** What each draft may spend on making tasks ready. */
  budgetBytes: number;
  budgetSteps = 1_000_000;
  keptOutputBytesMax = DEFAULT_LIMITS.keptOutputBytes;

  constructor(plan: Plan, input: unknown = null, deadlineMs?: number, budgetBytes = Infinity) {
    this.plan = plan;
    this.budgetBytes = budgetBytes;
    this.state = newState({
      namespaceId: 1,
      executionId: "018f0000-0000-7000-8000-000000000001",
      plan,
      input: jsonPayload(input),
      createdAtMs: this.nowMs,
      priority: 0,
      traceId: "018f000000007000800000000000000f",
      traceFlags: undefined,
      deadlineAtMs: deadlineMs === undefined ? undefined : this.nowMs + deadlineMs,
    });
    this.draft = this.#openDraft();
    begin(this.draft, this.nowMs);
  }

  #openDraft(): Draft {
    const budget = new OpeningBudget(this.budgetBytes, this.budgetSteps);
    const { payloadBytes: payloadBytesMax } = DEFAULT_LIMITS;
    return openDraft(this.state, { payloadBytesMax, keptOutputBytesMax: this.keptOutputBytesMax, budget });
  }

  index(id: string): number {
    const index = this.plan.indexOf.get(id);
    if (index === undefined) throw new Error(`no task ${id}`);
    return index;
  }

  status(id: string): TaskStatus {
    return this.state.tasks[this.index(id)]?.status ?? "PENDING";
  }

  /** The statuses of all tasks, in plan order. */
  statuses(): Record<string, TaskStatus> {
    return Object.fromEntries(this.plan.tasks.map(({ id }) => [id, this.status(id)]));
  }

  apply(command: Command, options: { sameDraft?: boolean } = {}): this {
    if (options.sameDraft !== true) this.draft = this.#openDraft();
    advance(this.draft, command, this.nowMs);
    this.#remember(command);
    return this;
  }

  #remember(command: Command): void {
    if (command.kind !== "report" || command.outcome.kind !== "success") return;
    const { index, outcome } = command;
    if (outcome.output !== undefined && this.state.tasks[index]?.status === "COMPLETED")
      this.outputs.set(index, outcome.output);
  }

  report(id: string, outcome: Outcome): this {
    return this.apply({ kind: "report", index: this.index(id), outcome, random: 0.5 });
  }

  succeed(id: string, output?: unknown): this {
    return this.report(id, {
      kind: "success",
      output: output === undefined ? undefined : jsonPayload(output),
    });
  }

  fail(id: string, more: { nonRetryable?: boolean; errorType?: string; retryAfterMs?: number } = {}): this {
    const failure = { reason: "HANDLER_FAILED", message: "boom", ...more };
    return this.report(id, { kind: "failure", failure });
  }

  lose(
    id: string,
    reason: "UNDELIVERED" | "WORKER_LOST" | "ATTEMPT_TIMEOUT" | "TOTAL_TIMEOUT",
    counted = true,
  ): this {
    return this.apply({ kind: "lose", index: this.index(id), reason, counted, random: 0.5 });
  }

  cancel(graceMs: number, running: readonly string[]): this {
    const indexes = new Set(running.map((id) => this.index(id)));
    return this.apply({ kind: "cancel", reason: "not needed", graceMs, running: indexes });
  }

  /** Lets time pass, then looks at the task's timer. */
  due(id: string, passedMs: number): this {
    this.nowMs += passedMs;
    return this.apply({ kind: "taskDue", index: this.index(id) });
  }

  executionDue(passedMs: number, running: readonly string[]): this {
    this.nowMs += passedMs;
    return this.apply({ kind: "executionDue", running: new Set(running.map((id) => this.index(id))) });
  }

  output(): unknown {
    return this.state.output === undefined ? undefined : parseJson(this.state.output);
  }

  input(id: string): unknown {
    const payload = this.draft.touched.get(this.index(id))?.input;
    return payload === undefined ? undefined : parseJson(payload);
  }
}
