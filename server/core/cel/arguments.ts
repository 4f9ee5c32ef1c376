import { failed, type Run } from "./run.js";
import { isList, kindOf, type List } from "./value.js";

/** A function of the language. The receiver of a method is its first argument. */
export interface CelFunction {
  /** How many arguments it takes, the receiver of a method included. */
  readonly arity: readonly [min: number, max: number];
  readonly call: (run: Run, args: List) => unknown;
}

/** The argument as a string, paid for as if it were read once. */
export function text(run: Run, args: List, index: number): string {
  const value = args[index];
  if (typeof value !== "string") throw wrongKind(run, "a string", value);
  run.meter.chargeText(value.length);
  return value;
}

/** The argument as a list of strings, paid for. */
export function texts(run: Run, args: List, index: number): readonly string[] {
  const value = args[index];
  if (!isList(value)) throw wrongKind(run, "a list of strings", value);
  run.meter.charge(value.length);
  return value.map((_, at) => text(run, value, at));
}

/** The argument as a whole number; a double counts when it is whole. */
export function whole(run: Run, args: List, index: number): number {
  const value = args[index];
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number)) return number;
  throw wrongKind(run, "a whole number", value);
}

/** The argument as a whole number from 0 to `max`. */
export function position(run: Run, args: List, index: number, max: number): number {
  const value = whole(run, args, index);
  if (value >= 0 && value <= max) return value;
  throw failed(run, `Position ${value} is outside 0 to ${max}.`);
}

/** The error of an argument of the wrong type. */
export function wrongKind(run: Run, wanted: string, value: unknown): Error {
  return failed(run, `Expected ${wanted}, not ${kindOf(value)}.`);
}
