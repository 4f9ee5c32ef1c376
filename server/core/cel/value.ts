import { ExpressionError } from "../expression-error.js";
import { setOwn } from "../set-own.js";

/** A moment, in milliseconds since 1970. */
export class Timestamp {
  readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }
}

/** A length of time in milliseconds; may be negative. */
export class Duration {
  readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }
}

export type Kind =
  "null" | "bool" | "int" | "double" | "string" | "bytes" | "list" | "map" | "timestamp" | "duration";

export type List = readonly unknown[];
export type JsonObject = Readonly<Record<string, unknown>>;

/** The CEL type of a value. A bigint is an int, a number a double, a plain object a map. */
export function kindOf(value: unknown): Kind {
  switch (typeof value) {
    case "string":
      return "string";
    case "number":
      return "double";
    case "bigint":
      return "int";
    case "boolean":
      return "bool";
    default:
      if (value === null || value === undefined) return "null";
      if (Array.isArray(value)) return "list";
      if (value instanceof Timestamp) return "timestamp";
      if (value instanceof Duration) return "duration";
      return value instanceof Uint8Array ? "bytes" : "map";
  }
}

/** Whether a value is a list. */
export function isList(value: unknown): value is List {
  return Array.isArray(value);
}

/** Whether a value is a map, which is any object that is none of the other kinds. */
export function isMap(value: unknown): value is JsonObject {
  return kindOf(value) === "map";
}

/** RFC 3339 text of a moment, in UTC, with milliseconds only when there are some. */
export function timestampText(timestamp: Timestamp): string {
  return new Date(timestamp.ms).toISOString().replace(".000Z", "Z");
}

/** Seconds with "s", as the JSON mapping of protobuf has it: "90s", "0.25s". */
export function durationText(duration: Duration): string {
  return `${duration.ms / 1000}s`;
}

/**
 * The JSON form of a value: an int as a number (within ±2^53), bytes as base64, a timestamp as RFC
 * 3339, a duration as seconds with "s". Throws EXPRESSION_FAILED for what JSON cannot hold (NaN,
 * infinities, larger ints) and EXPRESSION_RESULT_TOO_LARGE as soon as the text would be longer than
 * `charsMax`: one big value can be named many times, so the size is counted before anything is copied.
 */
export function toJson(value: unknown, charsMax: number): unknown {
  let left = charsMax;
  const spend = (chars: number): void => {
    left -= chars;
    if (left < 0) throw tooLarge(charsMax);
  };
  const convert = (item: unknown): unknown => {
    if (isList(item)) {
      spend(2 + item.length);
      return item.map(convert);
    }
    if (isMap(item)) {
      const copy: Record<string, unknown> = {};
      for (const key of Object.keys(item)) {
        spend(key.length + 4);
        setOwn(copy, key, convert(item[key]));
      }
      return copy;
    }
    const scalar = scalarJson(item);
    spend(typeof scalar === "string" ? scalar.length + 2 : 1);
    return scalar;
  };
  return convert(value);
}

function scalarJson(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    if (Number.isSafeInteger(number)) return number;
    throw notJson(`The int ${value} is beyond ±2^53, which JSON numbers do not hold exactly; use string().`);
  }
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw notJson(`The value is ${value}, which JSON cannot hold.`);
  }
  if (value instanceof Timestamp) return timestampText(value);
  if (value instanceof Duration) return durationText(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  return value ?? null;
}

function notJson(message: string): ExpressionError {
  return new ExpressionError("EXPRESSION_FAILED", message);
}

function tooLarge(charsMax: number): ExpressionError {
  return new ExpressionError(
    "EXPRESSION_RESULT_TOO_LARGE",
    `The value of the expression is larger than the payload limit of ${charsMax} bytes. Pass less, or a reference to data that is stored elsewhere.`,
  );
}
