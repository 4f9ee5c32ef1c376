import { text, wrongKind, type CelFunction } from "./arguments.js";
import { moment } from "./operators.js";
import { failed, type Run } from "./run.js";
import { Duration, Timestamp, type List } from "./value.js";

const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 1e-3,
  ns: 1e-6,
};
const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;
const DURATION_CHARS_MAX = 64;

/** Methods of timestamps, in UTC; and of durations, which count whole units. */
export const TIME_METHODS: ReadonlyMap<string, CelFunction> = new Map<string, CelFunction>([
  ["getFullYear", ofDate((date) => date.getUTCFullYear())],
  ["getMonth", ofDate((date) => date.getUTCMonth())],
  ["getDate", ofDate((date) => date.getUTCDate())],
  ["getDayOfMonth", ofDate((date) => date.getUTCDate() - 1)],
  ["getDayOfWeek", ofDate((date) => date.getUTCDay())],
  ["getDayOfYear", ofDate(dayOfYear)],
  ["getHours", ofEither((date) => date.getUTCHours(), 3_600_000)],
  ["getMinutes", ofEither((date) => date.getUTCMinutes(), 60_000)],
  ["getSeconds", ofEither((date) => date.getUTCSeconds(), 1_000)],
  ["getMilliseconds", ofEither((date) => date.getUTCMilliseconds(), 1)],
]);

/** timestamp("2026-01-31T12:00:00Z"), timestamp(seconds since 1970). */
export function timestamp(run: Run, args: List): Timestamp {
  const value = args[0];
  if (value instanceof Timestamp) return value;
  if (typeof value === "bigint" || typeof value === "number") return moment(run, Number(value) * 1000);
  const source = text(run, args, 0);
  const ms = RFC_3339.test(source) && isCalendarDay(source) ? Date.parse(source) : NaN;
  if (Number.isNaN(ms)) {
    throw failed(run, 'timestamp() needs RFC 3339 text with a zone, such as "2026-01-31T12:00:00Z".');
  }
  return moment(run, ms);
}

/** Date.parse takes 30 February for 2 March; this does not. */
function isCalendarDay(source: string): boolean {
  const [, year, month, day] = RFC_3339.exec(source) ?? [];
  return Number(day) <= new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
}

/** duration("1h30m"), duration("-1.5s"): units h, m, s, ms, us, ns; kept to the millisecond. */
export function duration(run: Run, args: List): Duration {
  const value = args[0];
  if (value instanceof Duration) return value;
  const source = text(run, args, 0);
  const parts = /^([+-]?)((?:\d+(?:\.\d+)?(?:h|ms|m|s|us|ns))+)$/.exec(
    source.slice(0, DURATION_CHARS_MAX + 1),
  );
  if (parts === null || source.length > DURATION_CHARS_MAX) {
    throw failed(run, 'duration() needs text such as "90s", "1h30m" or "250ms".');
  }
  let ms = 0;
  for (const [, count, unit] of (parts[2] ?? "").matchAll(/([\d.]+)([a-z]+)/g)) {
    ms += Number(count) * (UNIT_MS[unit ?? ""] ?? NaN);
  }
  return new Duration(Math.round(parts[1] === "-" ? -ms : ms));
}

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000);
}

function ofDate(read: (date: Date) => number): CelFunction {
  return {
    arity: [1, 1],
    call: (run, [value]) => {
      if (!(value instanceof Timestamp)) throw wrongKind(run, "a timestamp", value);
      return BigInt(read(new Date(value.ms)));
    },
  };
}

function ofEither(read: (date: Date) => number, unitMs: number): CelFunction {
  const date = ofDate(read);
  return {
    arity: [1, 1],
    call: (run, args) => {
      const value = args[0];
      return value instanceof Duration ? BigInt(Math.trunc(value.ms / unitMs)) : date.call(run, args);
    },
  };
}
