import type { ExecutionStatus, TaskStatus } from "../core/status.js";
import {
  ExecutionStatus as ExecutionStatusEnum,
  TaskStatus as TaskStatusEnum,
} from "../gen/headrace/v1/execution_pb.js";
import type { FieldCheck } from "./field-check.js";

/** The number of an execution status on the wire; the words are the same. */
export function executionStatusNumber(status: ExecutionStatus): ExecutionStatusEnum {
  return ExecutionStatusEnum[status];
}

/** The number of a task status on the wire; the words are the same. */
export function taskStatusNumber(status: TaskStatus): TaskStatusEnum {
  return TaskStatusEnum[status];
}

const EXECUTION_STATUS_WORDS = wordsOf<ExecutionStatus>(ExecutionStatusEnum);
const TASK_STATUS_WORDS = wordsOf<TaskStatus>(TaskStatusEnum);

/** The statuses of a filter. UNSPECIFIED and unknown numbers are noted as invalid. */
export function convertExecutionStatuses(
  check: FieldCheck,
  field: string,
  numbers: readonly number[],
): ExecutionStatus[] {
  return words(check, field, numbers, EXECUTION_STATUS_WORDS);
}

/** The statuses of a filter. UNSPECIFIED and unknown numbers are noted as invalid. */
export function convertTaskStatuses(
  check: FieldCheck,
  field: string,
  numbers: readonly number[],
): TaskStatus[] {
  return words(check, field, numbers, TASK_STATUS_WORDS);
}

function words<W>(
  check: FieldCheck,
  field: string,
  numbers: readonly number[],
  byNumber: Readonly<Record<number, W>>,
): W[] {
  check.count(field, numbers.length, 100);
  return numbers
    .slice(0, 100)
    .map((number, index) => check.enumWord(`${field}[${index}]`, number, byNumber))
    .filter((word) => word !== undefined);
}

/** The words of a generated enum by number, without UNSPECIFIED. */
function wordsOf<W extends string>(generated: Readonly<Record<string, number>>): Readonly<Record<number, W>> {
  const entries = Object.entries(generated).filter(([word]) => word !== "UNSPECIFIED");
  return Object.fromEntries(entries.map(([word, number]) => [number, word as W]));
}
