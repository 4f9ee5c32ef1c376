import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { FieldCheck } from "./field-check.js";

const NANOS_PER_MS = 1_000_000;
const TEN_YEARS_SECONDS = 10n * 366n * 86_400n;
/** Years 1 to 9999, the range of google.protobuf.Timestamp. */
const TIMESTAMP_MIN_SECONDS = -62_135_596_800n;
const TIMESTAMP_MAX_SECONDS = 253_402_300_799n;

/** Milliseconds of a duration, rounded up; undefined when unset or invalid. */
export function convertDuration(
  check: FieldCheck,
  field: string,
  value: Duration | undefined,
): number | undefined {
  if (value === undefined) return undefined;
  const { seconds, nanos } = value;
  if (seconds < 0n || nanos < 0) {
    check.invalid(field, `${field} is negative.`);
  } else if (nanos > 999_999_999) {
    check.invalid(field, `${field} has ${nanos} nanos; they must be 0 to 999999999.`, { actual: nanos });
  } else if (seconds > TEN_YEARS_SECONDS) {
    const limit = `${TEN_YEARS_SECONDS}s`;
    check.invalid(field, `${field} is ${seconds} s; the limit is 10 years.`, {
      limit,
      actual: `${seconds}s`,
    });
  } else {
    return Number(seconds) * 1_000 + Math.ceil(nanos / NANOS_PER_MS);
  }
  return undefined;
}

/** As convertDuration, with an own upper limit in milliseconds. */
export function convertDurationUpTo(
  check: FieldCheck,
  field: string,
  value: Duration | undefined,
  maxMs: number,
): number | undefined {
  const ms = convertDuration(check, field, value);
  if (ms !== undefined && ms > maxMs) {
    check.invalid(field, `${field} is ${ms} ms; the limit is ${maxMs} ms.`, { limit: maxMs, actual: ms });
  }
  return ms;
}

/** Unix time in milliseconds, fractions of a millisecond kept; undefined when unset or invalid. */
export function convertTimestamp(
  check: FieldCheck,
  field: string,
  value: Timestamp | undefined,
): number | undefined {
  if (value === undefined) return undefined;
  const { seconds, nanos } = value;
  if (nanos < 0 || nanos > 999_999_999) {
    check.invalid(field, `${field} has ${nanos} nanos; they must be 0 to 999999999.`, { actual: nanos });
    return undefined;
  }
  if (seconds < TIMESTAMP_MIN_SECONDS || seconds > TIMESTAMP_MAX_SECONDS) {
    check.invalid(field, `${field} is outside the years 1 to 9999.`, { actual: `${seconds}s` });
    return undefined;
  }
  return Number(seconds) * 1_000 + nanos / NANOS_PER_MS;
}

/** The message of a span of milliseconds, which is not negative. */
export function durationOf(ms: number): Duration {
  const { seconds, nanos } = split(ms);
  return { $typeName: "google.protobuf.Duration", seconds, nanos };
}

/** As durationOf; undefined stays unset. */
export function optionalDurationOf(ms: number | undefined): Duration | undefined {
  return ms === undefined ? undefined : durationOf(ms);
}

/** The message of a Unix time in milliseconds. */
export function timestampOf(ms: number): Timestamp {
  const { seconds, nanos } = split(ms);
  return { $typeName: "google.protobuf.Timestamp", seconds, nanos };
}

/** As timestampOf; undefined stays unset. */
export function optionalTimestampOf(ms: number | undefined): Timestamp | undefined {
  return ms === undefined ? undefined : timestampOf(ms);
}

function split(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1_000);
  const nanos = Math.min(999_999_999, Math.round((ms - seconds * 1_000) * NANOS_PER_MS));
  return { seconds: BigInt(seconds), nanos };
}
