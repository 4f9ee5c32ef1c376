import { failed, type Run } from "./run.js";
import { Duration, isList, isMap, kindOf, Timestamp, type JsonObject, type List } from "./value.js";

const INT_MAX = 2n ** 63n - 1n;
const INT_MIN = -(2n ** 63n);

export type Operator = "+" | "-" | "*" | "/" | "%" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "in";

type Operate = (run: Run, left: unknown, right: unknown) => unknown;

/** The binary operators. Each pays for what it reads, and throws ExpressionError for operands it does not take. */
export const OPERATORS: Readonly<Record<Operator, Operate>> = {
  "+": add,
  "-": subtract,
  "*": (run, left, right) => arithmetic(run, "*", left, right),
  "/": (run, left, right) => arithmetic(run, "/", left, right),
  "%": (run, left, right) => arithmetic(run, "%", left, right),
  "==": isEqual,
  "!=": (run, left, right) => !isEqual(run, left, right),
  "<": (run, left, right) => compare(run, left, right, "<") < 0,
  "<=": (run, left, right) => compare(run, left, right, "<=") <= 0,
  ">": (run, left, right) => compare(run, left, right, ">") > 0,
  ">=": (run, left, right) => compare(run, left, right, ">=") >= 0,
  in: isIn,
};

/** Keeps an int within 64 bits, as CEL has it. */
export function int64(run: Run, value: bigint): bigint {
  if (value > INT_MAX || value < INT_MIN)
    throw failed(run, `Int overflow: ${value} does not fit in 64 bits.`);
  return value;
}

function add(run: Run, left: unknown, right: unknown): unknown {
  if (typeof left === "string" && typeof right === "string") {
    run.meter.chargeText(left.length + right.length);
    return left + right;
  }
  if (isList(left) && isList(right)) {
    run.meter.charge(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    run.meter.chargeText(left.length + right.length);
    return Uint8Array.from([...left, ...right]);
  }
  if (left instanceof Duration && right instanceof Duration) return new Duration(left.ms + right.ms);
  if (left instanceof Timestamp && right instanceof Duration) return moment(run, left.ms + right.ms);
  if (left instanceof Duration && right instanceof Timestamp) return moment(run, left.ms + right.ms);
  return arithmetic(run, "+", left, right);
}

function subtract(run: Run, left: unknown, right: unknown): unknown {
  if (left instanceof Duration && right instanceof Duration) return new Duration(left.ms - right.ms);
  if (left instanceof Timestamp && right instanceof Duration) return moment(run, left.ms - right.ms);
  if (left instanceof Timestamp && right instanceof Timestamp) return new Duration(left.ms - right.ms);
  return arithmetic(run, "-", left, right);
}

/** A timestamp within the years 1 to 9999. */
export function moment(run: Run, ms: number): Timestamp {
  if (ms >= -62_135_596_800_000 && ms <= 253_402_300_799_999) return new Timestamp(ms);
  throw failed(run, "The timestamp is outside the years 1 to 9999.");
}

/** Two ints give an int. When one side is a double, as every number of JSON is, the result is one. */
function arithmetic(run: Run, op: "+" | "-" | "*" | "/" | "%", left: unknown, right: unknown): unknown {
  if (typeof left === "bigint" && typeof right === "bigint")
    return int64(run, intArithmetic(run, op, left, right));
  if (!isNumber(left) || !isNumber(right)) throw mismatch(run, op, left, right);
  return doubleArithmetic(run, op, Number(left), Number(right));
}

function intArithmetic(run: Run, op: string, left: bigint, right: bigint): bigint {
  if (op === "+") return left + right;
  if (op === "-") return left - right;
  if (op === "*") return left * right;
  if (right === 0n) throw failed(run, `Division by zero: ${left} ${op} 0.`);
  return op === "/" ? left / right : left % right;
}

function doubleArithmetic(run: Run, op: string, left: number, right: number): number {
  if (op === "+") return left + right;
  if (op === "-") return left - right;
  if (op === "*") return left * right;
  if (op === "/") return left / right;
  if (!Number.isInteger(left) || !Number.isInteger(right)) {
    throw failed(run, `"%" needs whole numbers, not ${left} and ${right}.`);
  }
  if (right === 0) throw failed(run, `Division by zero: ${left} % 0.`);
  return left % right;
}

/** Deep equality. Numbers are equal when their values are; values of different types are not. */
export function isEqual(run: Run, left: unknown, right: unknown): boolean {
  run.meter.charge(1);
  // An int and a double of the same value are one number, and `==` compares them exactly.
  if (isNumber(left) && isNumber(right)) return left == right;
  if (left === right) return true;
  if (typeof left === "string" && typeof right === "string") {
    run.meter.chargeText(left.length === right.length ? left.length : 0);
    return left === right;
  }
  if (isList(left)) return isList(right) && sameItems(run, left, right);
  if (left instanceof Timestamp) return right instanceof Timestamp && left.ms === right.ms;
  if (left instanceof Duration) return right instanceof Duration && left.ms === right.ms;
  if (left instanceof Uint8Array) return right instanceof Uint8Array && sameItems(run, [...left], [...right]);
  return isMap(left) && isMap(right) && sameMembers(run, left, right);
}

function sameItems(run: Run, left: List, right: List): boolean {
  return left.length === right.length && left.every((item, index) => isEqual(run, item, right[index]));
}

function sameMembers(run: Run, left: JsonObject, right: JsonObject): boolean {
  const keys = keysOf(run, left);
  if (keys.length !== keysOf(run, right).length) return false;
  return keys.every((key) => Object.hasOwn(right, key) && isEqual(run, left[key], right[key]));
}

/** The keys of a map, paid for. */
export function keysOf(run: Run, map: JsonObject): readonly string[] {
  const keys = Object.keys(map);
  run.meter.charge(keys.length);
  return keys;
}

function isIn(run: Run, left: unknown, right: unknown): boolean {
  if (isList(right)) return right.some((item) => isEqual(run, left, item));
  if (isMap(right)) return typeof left === "string" && Object.hasOwn(right, left);
  throw failed(run, `"in" needs a list or a map on its right, not ${kindOf(right)}.`);
}

function compare(run: Run, left: unknown, right: unknown, op: string): number {
  if (isNumber(left) && isNumber(right)) return order(left, right);
  if (typeof left === "string" && typeof right === "string") {
    run.meter.chargeText(Math.min(left.length, right.length));
    return order(left, right);
  }
  if (typeof left === "boolean" && typeof right === "boolean") return Number(left) - Number(right);
  if (left instanceof Timestamp && right instanceof Timestamp) return left.ms - right.ms;
  if (left instanceof Duration && right instanceof Duration) return left.ms - right.ms;
  throw mismatch(run, op, left, right);
}

/** NaN is neither below, nor equal to, nor above anything: every comparison with it is false. */
function order<T extends string | number | bigint>(left: T, right: T): number {
  if (left < right) return -1;
  if (left > right) return 1;
  return Number.isNaN(left) || Number.isNaN(right) ? NaN : 0;
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function mismatch(run: Run, op: string, left: unknown, right: unknown): Error {
  const hint =
    op === "+" && (typeof left === "string" || typeof right === "string") ? " Convert with string()." : "";
  return failed(run, `"${op}" does not work on ${kindOf(left)} and ${kindOf(right)}.${hint}`);
}
