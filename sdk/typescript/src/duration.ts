import { HeadraceError } from "./errors.js";

/**
 * A length of time: a number of milliseconds, or text of one or more amounts with a unit of
 * ms, s, m, h or d: "500ms", "10s", "1.5h", "1h30m".
 */
export type DurationLike = number | string;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const WHOLE = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const AMOUNT = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;

/**
 * Milliseconds of a duration, rounded to whole ones. Throws INVALID_OPTION with the field when it
 * is negative, not finite or not in the form above.
 */
export function parseDuration(value: DurationLike, field: string): number {
  if (typeof value === "number") {
    if (Number.isFinite(value) && value >= 0) return Math.round(value);
  } else if (WHOLE.test(value)) {
    let totalMs = 0;
    for (const [, amount, unit] of value.matchAll(AMOUNT)) {
      totalMs += Number(amount) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
    }
    return Math.round(totalMs);
  }
  throw new HeadraceError("INVALID_OPTION", `${field} is not a duration: ${JSON.stringify(value)}`, {
    field,
    actual: String(value),
    remedy: 'Give milliseconds as a number of at least 0, or text such as "500ms", "10s", "5m", "1h30m".',
  });
}
