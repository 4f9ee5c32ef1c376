import { hasToJson, whyNotJson } from "./codec.js";
import { HeadraceError } from "./errors.js";

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const INDEX = /^(?:0|[1-9]\d*)$/;
// A lone half of a surrogate pair has no UTF-8 form.
const LONE_SURROGATE = /\p{Surrogate}/u;
const RESERVED: ReadonlySet<string> = new Set(
  (
    "true false null in as break const continue else for function if import let loop package namespace " +
    "return var void while"
  ).split(" "),
);

/** The expression of a field or, when `key` is a whole number, of an element of `expression`. */
export function celSelect(expression: string, key: string): string {
  if (INDEX.test(key)) return `${expression}[${key}]`;
  if (IDENTIFIER.test(key) && !RESERVED.has(key)) return `${expression}.${key}`;
  return `${expression}[${celString(key, "key")}]`;
}

const DEPTH_LIMIT = 64;

/**
 * The CEL expression of a value: literals for constants, `expressionOf(ref)` for what it recognises.
 * Throws INVALID_PAYLOAD with the path of what cannot be expressed.
 */
export function celOf(
  value: unknown,
  path: string,
  expressionOf: (value: unknown) => string | undefined,
  depth = 0,
): string {
  const expression = expressionOf(value);
  if (expression !== undefined) return expression;
  if (depth > DEPTH_LIMIT) {
    throw new HeadraceError(
      "INVALID_PAYLOAD",
      `${path.slice(0, 100)}... is nested too deeply or contains itself`,
      {
        field: path.slice(0, 100),
        limit: DEPTH_LIMIT,
      },
    );
  }
  const inside = (part: unknown, partPath: string): string => celOf(part, partPath, expressionOf, depth + 1);
  const why = whyNotJson(value);
  if (why !== undefined) throw new HeadraceError("INVALID_PAYLOAD", `${path} ${why}`, { field: path });
  if (typeof value === "string") return celString(value, path);
  if (typeof value === "number") return celNumber(value);
  if (Array.isArray(value)) {
    return `[${value.map((item, i) => inside(item, `${path}[${i}]`)).join(", ")}]`;
  }
  if (typeof value === "object" && value !== null) {
    if (hasToJson(value)) return inside(value.toJSON(""), path);
    const fields = definedFields(value).map(
      ([key, field]) => `${celString(key, path)}: ${inside(field, `${path}.${key}`)}`,
    );
    return `{${fields.join(", ")}}`;
  }
  // What is left is null, a boolean or a BigInt within the safe range.
  return String(value);
}

/** Fields of an object that JSON keeps. */
export function definedFields(value: object): Array<[string, unknown]> {
  return Object.entries(value).filter(([, field]) => field !== undefined);
}

function celString(text: string, path: string): string {
  if (LONE_SURROGATE.test(text)) {
    throw new HeadraceError("INVALID_PAYLOAD", `${path} is not well-formed Unicode`, { field: path });
  }
  // The escapes of JSON are a subset of those of CEL.
  return JSON.stringify(text);
}

function celNumber(value: number): string {
  if (Number.isSafeInteger(value)) return String(value === 0 ? 0 : value);
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}
