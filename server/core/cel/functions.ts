import { text, wrongKind, type CelFunction } from "./arguments.js";
import { int64, keysOf } from "./operators.js";
import { failed, type Run } from "./run.js";
import { charCount, STRING_METHODS } from "./string-functions.js";
import { duration, TIME_METHODS, timestamp } from "./time-functions.js";
import {
  Duration,
  durationText,
  isList,
  isMap,
  kindOf,
  Timestamp,
  timestampText,
  type List,
} from "./value.js";

const TRUE: ReadonlySet<string> = new Set(["1", "t", "true", "TRUE", "True"]);
const FALSE: ReadonlySet<string> = new Set(["0", "f", "false", "FALSE", "False"]);
const INT_CHARS_MAX = 20;
const NUMBER_CHARS_MAX = 400;

/** Functions that are called by name: `size(x)`. */
export const FUNCTIONS: ReadonlyMap<string, CelFunction> = new Map<string, CelFunction>([
  ["size", { arity: [1, 1], call: size }],
  ["string", { arity: [1, 1], call: toText }],
  ["int", { arity: [1, 1], call: toInt }],
  ["double", { arity: [1, 1], call: toDouble }],
  ["bool", { arity: [1, 1], call: toBool }],
  ["bytes", { arity: [1, 1], call: toBytes }],
  ["dyn", { arity: [1, 1], call: (_run, args) => args[0] }],
  ["timestamp", { arity: [1, 1], call: timestamp }],
  ["duration", { arity: [1, 1], call: duration }],
]);

/** Functions that are called on a value: `x.size()`. */
export const METHODS: ReadonlyMap<string, CelFunction> = new Map<string, CelFunction>([
  ["size", { arity: [1, 1], call: size }],
  ...STRING_METHODS,
  ...TIME_METHODS,
]);

function size(run: Run, args: List): bigint {
  const value = args[0];
  if (isList(value) || value instanceof Uint8Array) return BigInt(value.length);
  if (isMap(value)) return BigInt(keysOf(run, value).length);
  if (typeof value === "string") return BigInt(charCount(text(run, args, 0)));
  throw wrongKind(run, "a string, bytes, a list or a map", value);
}

function toText(run: Run, args: List): string {
  const value = args[0];
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean")
    return String(value);
  if (value instanceof Timestamp) return timestampText(value);
  if (value instanceof Duration) return durationText(value);
  if (value instanceof Uint8Array) {
    run.meter.chargeText(value.length);
    return new TextDecoder().decode(value);
  }
  throw wrongKind(run, "a number, bool, bytes, timestamp or duration", value);
}

function toInt(run: Run, args: List): bigint {
  const value = args[0];
  if (typeof value === "bigint") return value;
  if (value instanceof Timestamp) return BigInt(Math.floor(value.ms / 1000));
  if (typeof value === "number" && Number.isFinite(value)) return int64(run, BigInt(Math.trunc(value)));
  if (typeof value === "string" && value.length <= INT_CHARS_MAX && /^-?\d+$/.test(value)) {
    return int64(run, BigInt(value));
  }
  throw cannotConvert(run, "int", value);
}

function toDouble(run: Run, args: List): number {
  const value = args[0];
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  const isNumeric =
    typeof value === "string" &&
    value.length <= NUMBER_CHARS_MAX &&
    /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value);
  if (isNumeric) return Number(value);
  throw cannotConvert(run, "double", value);
}

function toBool(run: Run, args: List): boolean {
  const value = args[0];
  if (typeof value === "boolean") return value;
  if (typeof value === "string" && TRUE.has(value)) return true;
  if (typeof value === "string" && FALSE.has(value)) return false;
  throw cannotConvert(run, "bool", value);
}

function toBytes(run: Run, args: List): Uint8Array {
  const value = args[0];
  return value instanceof Uint8Array ? value : new TextEncoder().encode(text(run, args, 0));
}

function cannotConvert(run: Run, type: string, value: unknown): Error {
  const isShort = typeof value === "string" && value.length <= NUMBER_CHARS_MAX;
  const shown = isShort || typeof value === "number" ? JSON.stringify(value) : `this ${kindOf(value)}`;
  return failed(run, `${type}() cannot convert ${shown}.`);
}
