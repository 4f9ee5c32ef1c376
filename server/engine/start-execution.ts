import { begin } from "../core/advance.js";
import type { DraftLimits } from "../core/draft.js";
import { HeadraceError } from "../core/errors.js";
import { newState } from "../core/execution-state.js";
import type { Payload } from "../core/payload.js";
import type { FoundStart } from "./commit-store.js";
import { openGroup, type Group } from "./group.js";
import type { StartCommand } from "./request.js";

/** Creates the execution of a group in memory, its first tasks ready. */
export function createExecution(group: Group, start: StartCommand, limits: DraftLimits): void {
  const draft = openGroup(group, newState(start.facts), limits);
  begin(draft, start.facts.createdAtMs);
  const { executionId, traceId, plan } = start.facts;
  group.answers.push(() =>
    start.reply.resolve({ executionId, created: true, version: plan.version, traceId }),
  );
}

/** Answers a start that repeats an earlier one as the first was answered, or refuses it. */
export function answerRepeat(group: Group, start: StartCommand, existing: FoundStart): void {
  const conflict = conflictOf(start, existing);
  if (conflict !== undefined) {
    group.answers.push(() => start.reply.reject(conflict));
    return;
  }
  group.answers.push(() =>
    start.reply.resolve({
      executionId: existing.executionId,
      created: false,
      version: existing.version,
      traceId: existing.traceId,
    }),
  );
}

/** Answers a start that repeats another start of the same batch. */
export function answerRepeatInBatch(group: Group, start: StartCommand, first: StartCommand): void {
  answerRepeat(group, start, {
    executionId: first.facts.executionId,
    workflow: first.facts.plan.workflow,
    version: first.facts.plan.version,
    input: first.facts.input,
    traceId: first.facts.traceId,
    idempotencyKey: first.idempotencyKey,
  });
}

function conflictOf(start: StartCommand, existing: FoundStart): HeadraceError | undefined {
  const byId = existing.executionId === start.facts.executionId;
  const field = byId ? "start.execution_id" : "start.idempotency_key";
  const value = byId ? existing.executionId : (start.idempotencyKey ?? "");
  const difference = differenceOf(start, existing);
  if (difference === undefined) return undefined;
  return new HeadraceError(
    "IDEMPOTENCY_CONFLICT",
    `"${value}" was used to start execution ${existing.executionId} with another ${difference}.`,
    { field, actual: value },
  );
}

function differenceOf(start: StartCommand, existing: FoundStart): string | undefined {
  const { plan, input } = start.facts;
  if (plan.workflow !== existing.workflow) return `workflow, ${existing.workflow}`;
  if (start.versionAsked && plan.version !== existing.version) return `version, ${existing.version}`;
  return samePayload(input, existing.input) ? undefined : "input";
}

function samePayload(a: Payload, b: Payload): boolean {
  return a.encoding === b.encoding && Buffer.compare(a.data, b.data) === 0;
}
