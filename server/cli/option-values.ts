import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { parseDuration } from "../config/quantity.js";
import { usageError } from "./cli-error.js";

/** Milliseconds of an option such as --timeout 30s. */
export function readDuration(value: string, option: string): number {
  const ms = parseDuration(value);
  if (ms !== undefined) return ms;
  throw usageError(
    `"${value}" of ${option} is not a duration`,
    "write a number with its unit, such as 500ms, 10s or 5m",
  );
}

/** The duration of an option for a request; undefined when the option is not given. */
export function readProtoDuration(value: string | undefined, option: string): Duration | undefined {
  return value === undefined ? undefined : durationFromMs(readDuration(value, option));
}

/** A time as ISO 8601, or as how long ago it was: "1h". */
export function readPastTime(
  value: string | undefined,
  option: string,
  nowMs: number,
): Timestamp | undefined {
  if (value === undefined) return undefined;
  const ago = parseDuration(value);
  if (ago !== undefined) return timestampFromMs(nowMs - ago);
  const at = /^\d{4}-\d{2}-\d{2}/.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(at)) return timestampFromMs(at);
  throw usageError(
    `"${value}" of ${option} is not a time`,
    "write how long ago, such as 1h or 7d, or a time such as 2026-01-31T12:00:00Z",
  );
}

/** A whole number within limits. */
export function readInteger(value: string, option: string, range: { min: number; max: number }): number {
  const number = /^-?\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= range.min && number <= range.max) return number;
  throw usageError(
    `"${value}" of ${option} is not a whole number from ${range.min} to ${range.max}`,
    "correct it",
  );
}

/** Labels from repeated k=v. The value may contain further equal signs. */
export function readLabels(pairs: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1)
      throw usageError(`the label "${pair}" is not of the form key=value`, "write --label team=payments");
    const key = pair.slice(0, at);
    if (Object.hasOwn(labels, key))
      throw usageError(`the label ${key} is given twice`, "leave one of them out");
    labels[key] = pair.slice(at + 1);
  }
  return labels;
}

/** For options that may be repeated: appends to the values before. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
