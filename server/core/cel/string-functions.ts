import { position, text, texts, whole, type CelFunction } from "./arguments.js";
import { failed, type Run } from "./run.js";
import type { List } from "./value.js";

const PARTS_MAX = 2 ** 31;

/** Methods of strings and of lists of strings. Positions count characters, not UTF-16 units. */
export const STRING_METHODS: ReadonlyMap<string, CelFunction> = new Map<string, CelFunction>([
  ["startsWith", binary((left, right) => left.startsWith(right))],
  ["endsWith", binary((left, right) => left.endsWith(right))],
  ["contains", binary((left, right) => left.includes(right))],
  ["trim", unary((value) => value.trim())],
  ["lowerAscii", unary((value) => value.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()))],
  ["upperAscii", unary((value) => value.replace(/[a-z]+/g, (letters) => letters.toUpperCase()))],
  ["indexOf", { arity: [2, 3], call: indexOf }],
  ["lastIndexOf", { arity: [2, 2], call: lastIndexOf }],
  ["substring", { arity: [2, 3], call: substring }],
  ["charAt", { arity: [2, 2], call: charAt }],
  ["split", { arity: [2, 3], call: split }],
  ["replace", { arity: [3, 3], call: replace }],
  ["join", { arity: [1, 2], call: join }],
]);

/** How many characters a string has; a surrogate pair is one. */
export function charCount(value: string): number {
  let pairs = 0;
  for (let at = 0; at < value.length - 1; at++) if (isPairAt(value, at)) pairs++;
  return value.length - pairs;
}

function isPairAt(value: string, at: number): boolean {
  return (value.charCodeAt(at) & 0xfc00) === 0xd800 && (value.charCodeAt(at + 1) & 0xfc00) === 0xdc00;
}

function unary(apply: (value: string) => string): CelFunction {
  return { arity: [1, 1], call: (run, args) => apply(text(run, args, 0)) };
}

function binary(apply: (left: string, right: string) => boolean): CelFunction {
  return { arity: [2, 2], call: (run, args) => apply(text(run, args, 0), text(run, args, 1)) };
}

function indexOf(run: Run, args: List): bigint {
  const value = text(run, args, 0);
  const from = args.length === 3 ? position(run, args, 2, charCount(value)) : 0;
  const unit = value.indexOf(text(run, args, 1), unitOf(value, from));
  return BigInt(unit < 0 ? -1 : charCount(value.slice(0, unit)));
}

function lastIndexOf(run: Run, args: List): bigint {
  const value = text(run, args, 0);
  const unit = value.lastIndexOf(text(run, args, 1));
  return BigInt(unit < 0 ? -1 : charCount(value.slice(0, unit)));
}

function substring(run: Run, args: List): string {
  const value = text(run, args, 0);
  const size = charCount(value);
  const end = args.length === 3 ? position(run, args, 2, size) : size;
  const start = position(run, args, 1, end);
  return value.slice(unitOf(value, start), unitOf(value, end));
}

function charAt(run: Run, args: List): string {
  const value = text(run, args, 0);
  const start = position(run, args, 1, charCount(value));
  return value.slice(unitOf(value, start), unitOf(value, start + 1));
}

/** The UTF-16 offset of the character with this number. */
function unitOf(value: string, char: number): number {
  let unit = 0;
  for (let left = char; left > 0 && unit < value.length; left--) unit += isPairAt(value, unit) ? 2 : 1;
  return unit;
}

function split(run: Run, args: List): readonly string[] {
  const value = text(run, args, 0);
  const separator = text(run, args, 1);
  const limit = args.length === 3 ? whole(run, args, 2) : -1;
  if (limit === 0) return [];
  const parts = pieces(run, value, separator);
  if (limit < 0 || parts.length <= limit) return parts;
  return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)];
}

/** Splits without making more parts than the budget can pay. An empty separator gives characters. */
function pieces(run: Run, value: string, separator: string): readonly string[] {
  if (separator === "") {
    run.meter.charge(value.length);
    return Array.from(value);
  }
  const parts = value.split(separator, Math.min(run.meter.left + 1, PARTS_MAX));
  run.meter.charge(parts.length);
  return parts;
}

function replace(run: Run, args: List): string {
  const from = text(run, args, 1);
  if (from === "") throw failed(run, "replace() needs something to replace.");
  return joined(run, pieces(run, text(run, args, 0), from), text(run, args, 2));
}

function join(run: Run, args: List): string {
  return joined(run, texts(run, args, 0), args.length === 2 ? text(run, args, 1) : "");
}

function joined(run: Run, parts: readonly string[], separator: string): string {
  let chars = Math.max(0, parts.length - 1) * separator.length;
  for (const part of parts) chars += part.length;
  run.meter.chargeText(chars);
  return parts.join(separator);
}
