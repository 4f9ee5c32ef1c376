import { TaskKind, TriggerRule, type TaskSpec, type WorkflowSpec } from "../gen/headrace/v1/workflow_pb.js";
import type { FieldCheck } from "./field-check.js";

/** Notes every part of a workflow that this server knows from the contract and does not implement. */
export function refuseUnsupportedWorkflow(check: FieldCheck, spec: WorkflowSpec): void {
  if (spec.onFailure !== undefined) check.unsupported("on_failure", "on_failure is not supported yet.");
  if (spec.concurrency !== undefined) check.unsupported("concurrency", "concurrency is not supported yet.");
}

/** Notes every part of a task that this server knows from the contract and does not implement. */
export function refuseUnsupportedTask(check: FieldCheck, path: string, task: TaskSpec): void {
  refuseKind(check, path, task);
  refuseTriggerRule(check, path, task.triggerRule);
  const used: Readonly<Record<string, boolean>> = {
    when: task.when !== "",
    cache: task.cache !== undefined,
    concurrency: task.concurrency.length > 0,
    rate_limits: task.rateLimits.length > 0,
    worker_labels: Object.keys(task.workerLabels).length > 0,
    map: task.map !== undefined,
    sleep: task.sleep !== undefined,
    signal: task.signal !== undefined,
    workflow: task.workflow !== undefined,
    optional: task.optional,
  };
  for (const [field, isUsed] of Object.entries(used)) {
    if (isUsed) check.unsupported(`${path}.${field}`, `${path}.${field} is not supported yet.`);
  }
}

const KIND_WORDS: Readonly<Record<number, string>> = {
  [TaskKind.UNSPECIFIED]: "TASK",
  [TaskKind.TASK]: "TASK",
  [TaskKind.SLEEP]: "SLEEP",
  [TaskKind.SIGNAL]: "SIGNAL",
  [TaskKind.WORKFLOW]: "WORKFLOW",
};

function refuseKind(check: FieldCheck, path: string, task: TaskSpec): void {
  const word = check.enumWord(`${path}.kind`, task.kind, KIND_WORDS);
  if (word !== undefined && word !== "TASK") {
    check.unsupported(`${path}.kind`, `${path}.kind ${word} is not supported yet; only TASK is.`);
  }
}

const TRIGGER_RULE_WORDS: Readonly<Record<number, string>> = {
  [TriggerRule.UNSPECIFIED]: "ALL_SUCCESS",
  [TriggerRule.ALL_SUCCESS]: "ALL_SUCCESS",
  [TriggerRule.ALL_DONE]: "ALL_DONE",
  [TriggerRule.ALL_FAILED]: "ALL_FAILED",
  [TriggerRule.ONE_SUCCESS]: "ONE_SUCCESS",
  [TriggerRule.ONE_FAILED]: "ONE_FAILED",
  [TriggerRule.NONE_FAILED]: "NONE_FAILED",
  [TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS]: "NONE_FAILED_MIN_ONE_SUCCESS",
  [TriggerRule.ALWAYS]: "ALWAYS",
};

function refuseTriggerRule(check: FieldCheck, path: string, rule: number): void {
  const word = check.enumWord(`${path}.trigger_rule`, rule, TRIGGER_RULE_WORDS);
  if (word !== undefined && word !== "ALL_SUCCESS") {
    const message = `${path}.trigger_rule ${word} is not supported yet; only ALL_SUCCESS is.`;
    check.unsupported(`${path}.trigger_rule`, message);
  }
}
