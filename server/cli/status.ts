import type { DescEnum } from "@bufbuild/protobuf";
import {
  ExecutionStatus,
  ExecutionStatusSchema,
  TaskStatus,
  TaskStatusSchema,
} from "../gen/headrace/v1/execution_pb.js";
import {
  isTerminal,
  type ExecutionStatus as CoreExecutionStatus,
  type TaskStatus as CoreTaskStatus,
} from "../core/status.js";
import { nearest } from "../config/nearest.js";
import { usageError } from "./cli-error.js";
import type { Style } from "./style.js";

/** The name of an enum's value without the prefix of the enum: "RUNNING". */
export function enumName(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName ?? String(value);
}

/** "RUNNING"; the number when a newer server sent a status that is not known here. */
export function executionStatusName(status: ExecutionStatus): string {
  return enumName(ExecutionStatusSchema, status);
}

/** "RUNNING"; the number when a newer server sent a status that is not known here. */
export function taskStatusName(status: TaskStatus): string {
  return enumName(TaskStatusSchema, status);
}

/** The status that a word such as "running" or "TIMED_OUT" names. */
export function parseExecutionStatus(word: string): ExecutionStatus {
  const names = ExecutionStatusSchema.values.slice(1).map((value) => value.localName);
  const wanted = word.toUpperCase().replaceAll("-", "_");
  const found = ExecutionStatusSchema.values.find((value) => value.number > 0 && value.localName === wanted);
  if (found !== undefined) return found.number as ExecutionStatus;
  const meant = nearest(wanted, names);
  throw usageError(
    `"${word}" is no status of an execution`,
    meant === undefined ? `use one of ${names.join(", ")}` : `did you mean ${meant}?`,
  );
}

/** Whether nothing will change any more. */
export function isExecutionOver(status: ExecutionStatus): boolean {
  return isTerminal(executionStatusName(status) as CoreExecutionStatus);
}

/** Whether nothing will change any more. */
export function isTaskOver(status: TaskStatus): boolean {
  return isTerminal(taskStatusName(status) as CoreTaskStatus);
}

type Color = "green" | "red" | "yellow" | "blue" | "cyan" | "dim";

interface Look {
  readonly symbol: string;
  readonly color: Color;
}

/** Of a status that a newer server knows. */
const UNKNOWN_LOOK: Look = { symbol: "?", color: "dim" };

const TASK_LOOKS: Readonly<Record<number, Look>> = {
  [TaskStatus.PENDING]: { symbol: "·", color: "dim" },
  [TaskStatus.SCHEDULED]: { symbol: "◷", color: "yellow" },
  [TaskStatus.READY]: { symbol: "○", color: "blue" },
  [TaskStatus.RUNNING]: { symbol: "●", color: "cyan" },
  [TaskStatus.WAITING]: { symbol: "◌", color: "yellow" },
  [TaskStatus.COMPLETED]: { symbol: "✓", color: "green" },
  [TaskStatus.FAILED]: { symbol: "✗", color: "red" },
  [TaskStatus.SKIPPED]: { symbol: "↷", color: "dim" },
  [TaskStatus.CANCELLED]: { symbol: "⊘", color: "yellow" },
  [TaskStatus.TIMED_OUT]: { symbol: "⧖", color: "red" },
};

const EXECUTION_COLORS: Readonly<Record<number, Color>> = {
  [ExecutionStatus.PENDING]: "dim",
  [ExecutionStatus.RUNNING]: "cyan",
  [ExecutionStatus.PAUSED]: "yellow",
  [ExecutionStatus.COMPLETED]: "green",
  [ExecutionStatus.FAILED]: "red",
  [ExecutionStatus.CANCELLED]: "yellow",
  [ExecutionStatus.TIMED_OUT]: "red",
};

function lookOf(status: TaskStatus): Look {
  return TASK_LOOKS[status] ?? UNKNOWN_LOOK;
}

/** The text in the colour of the status. */
export function paintTaskStatus(status: TaskStatus, text: string, style: Style): string {
  return style[lookOf(status).color](text);
}

/** One coloured character that stands for the status. */
export function taskSymbol(status: TaskStatus, style: Style): string {
  return paintTaskStatus(status, lookOf(status).symbol, style);
}

/** The status in its colour: "RUNNING". */
export function taskStatusLabel(status: TaskStatus, style: Style): string {
  return paintTaskStatus(status, taskStatusName(status), style);
}

/** The status in its colour: "RUNNING". */
export function executionStatusLabel(status: ExecutionStatus, style: Style): string {
  return style[EXECUTION_COLORS[status] ?? "dim"](executionStatusName(status));
}
