import type { ProblemList } from "./workflow-problem.js";

/** Longest duration that a workflow may ask for: ten years. */
export const DURATION_MAX_MS = 3_650 * 24 * 60 * 60 * 1000;

interface Range {
  readonly min: number;
  readonly max: number;
  readonly isWhole?: boolean;
  /** For messages, such as " ms". */
  readonly unit?: string;
}

/** Notes a number that is outside its range or not whole where it must be; undefined is fine. */
export function checkNumber(
  problems: ProblemList,
  path: string,
  value: number | undefined,
  range: Range,
): void {
  const { min, max, isWhole = false, unit = "" } = range;
  if (value === undefined || (value >= min && value <= max && (!isWhole || Number.isInteger(value)))) return;
  const kind = isWhole ? "a whole number" : "a number";
  const field = path.slice(path.lastIndexOf(".") + 1);
  const message = `${field} is ${value}${unit}; it must be ${kind} from ${min}${unit} to ${max}${unit}.`;
  problems.add(path, "OUT_OF_RANGE", message);
}

/** Notes a duration that is not a whole number of milliseconds in (0, ten years]. */
export function checkDuration(
  problems: ProblemList,
  path: string,
  valueMs: number | undefined,
  minMs = 1,
): void {
  checkNumber(problems, path, valueMs, { min: minMs, max: DURATION_MAX_MS, isWhole: true, unit: " ms" });
}
