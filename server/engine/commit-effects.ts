import { hasChanges, type Draft } from "../core/draft.js";
import { planTask, type ExecutionState } from "../core/execution-state.js";
import type { Payload } from "../core/payload.js";
import type { PlanTask } from "../core/plan.js";
import { isTerminal } from "../core/status.js";
import { traceparentOf } from "../core/trace-context.js";
import type { Assignment } from "./api.js";
import { totalDueAt, type Aftermath, type HandedOff } from "./build-writes.js";
import type { Effects } from "./effects.js";
import type { Group } from "./group.js";
import type { HandOff } from "./hand-off.js";
import { holdAttempt, UNSENT_FRAME, type HeldAttempt } from "./held-attempt.js";
import type { Notifier } from "./notifier.js";
import type { Sessions } from "./sessions.js";
import type { Timers } from "./timers.js";
import { endOf, type Watch } from "./watch.js";

/** Who must hear of a commit. */
export interface EffectTargets {
  readonly sessions: Sessions;
  readonly handOff: HandOff;
  readonly timers: Timers;
  readonly watch: Watch;
  readonly notifier: Notifier;
}

/** Delivers, wakes and tells, once a batch is committed. */
export class CommitEffects implements Effects {
  #bound: EffectTargets | undefined;

  /** Names who must hear. Apart from construction, because those who hear also commit. */
  bind(targets: EffectTargets): void {
    this.#bound = targets;
  }

  get #targets(): EffectTargets {
    if (this.#bound === undefined) throw new Error("Effects are not bound yet");
    return this.#bound;
  }

  committed(groups: readonly Group[], aftermath: Aftermath): void {
    const { handOff, timers, notifier, watch } = this.#targets;
    for (const handedOff of aftermath.handedOff) this.#deliver(handedOff);
    for (const { route, suspect } of aftermath.readyRoutes) handOff.raise(route, suspect);
    if (aftermath.readyRoutes.length > 0) notifier.hint("work");
    if (aftermath.dueAtMs !== undefined) timers.wakeAt(aftermath.dueAtMs);
    for (const group of groups) {
      this.#awaitEnd(group);
      if (group.draft === undefined || !hasChanges(group.draft)) continue;
      this.#stop(group, group.draft);
      watch.changed(group.draft.state);
      notifier.hint("executions");
    }
  }

  /** A start that asked for the end hears of it, also when it was there at once. */
  #awaitEnd({ start, draft, namespaceId, executionId }: Group): void {
    if (start?.onEnd === undefined || draft === undefined) return;
    if (isTerminal(draft.state.status)) start.onEnd(endOf(draft.state));
    else this.#targets.watch.onEnd({ namespaceId, executionId }, start.onEnd, start.signal);
  }

  #stop({ handOuts }: Group, draft: Draft): void {
    for (const { index, reason, outcomeWanted, deadlineAtMs } of draft.stops) {
      const { id } = planTask(draft.state, index);
      const row = handOuts.get(id);
      if (row === undefined) continue;
      const { executionId } = draft.state.facts;
      const ref = { executionId, taskId: id, mapIndex: -1, attempt: row.attempt, lease: row.lease };
      this.#targets.sessions.tellStop(ref, row.sessionId, { reason, outcomeWanted, deadlineAtMs });
    }
  }

  #deliver({ reservation, state, index, input, startedAtMs }: HandedOff): void {
    const plan = planTask(state, index);
    const task = state.tasks[index];
    if (task === undefined || input === undefined) return;
    const { executionId, namespaceId } = state.facts;
    const { attemptMs: attemptTimeoutMs, heartbeatMs: heartbeatTimeoutMs } = plan.timeouts;
    const ref = { executionId, taskId: plan.id, mapIndex: -1, attempt: task.attempt, lease: 1 };
    const attempt = holdAttempt(
      {
        namespaceId,
        ref,
        sessionId: reservation.sessionId,
        crashes: 0,
        startedAtMs,
        attemptTimeoutMs,
        heartbeatTimeoutMs,
        totalDueAtMs: totalDueAt(plan, task),
      },
      UNSENT_FRAME,
      startedAtMs,
    );
    reservation.deliver(attempt, firstAssignment(state, plan, attempt, input));
  }
}

/** The first hand-out of a task, made from its plan. */
function firstAssignment(
  state: ExecutionState,
  plan: PlanTask,
  attempt: HeldAttempt,
  input: Payload,
): Assignment {
  const { traceId, traceFlags } = state.facts;
  return {
    attempt: attempt.ref,
    handler: plan.handler,
    queue: plan.queue,
    input,
    workflow: state.facts.plan.workflow,
    maxAttempts: plan.retry.maxAttempts,
    crashes: 0,
    deadlineAtMs: attempt.dueAtMs,
    heartbeatTimeoutMs: attempt.heartbeatTimeoutMs,
    heartbeatDetails: undefined,
    traceparent: traceparentOf(attempt.ref, traceId, traceFlags),
  };
}
