import { create } from "@bufbuild/protobuf";

import { HeadraceError } from "./errors.js";
import type { Payload } from "./gen/headrace/v1/payload_pb.js";
import { PayloadSchema } from "./gen/headrace/v1/payload_pb.js";

/** JSON text in UTF-8. */
export const JSON_ENCODING = "json";
/** The bytes as they are. */
export const BYTES_ENCODING = "bytes";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * The payload of a value: JSON text, or the bytes themselves when the whole value is a Uint8Array.
 * A field whose value is `undefined` is left out, a Date becomes its ISO text, a BigInt within
 * ±(2^53 - 1) becomes a number. Throws INVALID_PAYLOAD with the path of what JSON cannot express.
 */
export function encodePayload(value: unknown, name = "value"): Payload {
  if (value instanceof Uint8Array) return create(PayloadSchema, { data: value, encoding: BYTES_ENCODING });
  const found = new JsonCheck();
  found.check(value, name);
  const text = JSON.stringify(value, found.hasBigInt ? bigIntAsNumber : undefined);
  return create(PayloadSchema, { data: encoder.encode(text), encoding: JSON_ENCODING });
}

/** The value of a payload; `undefined` when there is none. Throws INVALID_PAYLOAD when it cannot be read. */
export function decodePayload(payload: Payload | undefined): unknown {
  if (payload === undefined) return undefined;
  if (payload.encoding === BYTES_ENCODING) return payload.data;
  if (payload.encoding !== JSON_ENCODING && payload.encoding !== "") {
    throw new HeadraceError("INVALID_PAYLOAD", `A payload has the encoding "${payload.encoding}"`, {
      field: "encoding",
      actual: payload.encoding,
      remedy: `This SDK reads "${JSON_ENCODING}" and "${BYTES_ENCODING}".`,
    });
  }
  try {
    return JSON.parse(decoder.decode(payload.data)) as unknown;
  } catch (error) {
    throw new HeadraceError("INVALID_PAYLOAD", "A payload is not JSON in UTF-8", {
      actual: `${payload.data.length} bytes`,
      remedy: "Correct what wrote it, or give it the encoding that it has.",
      cause: error,
    });
  }
}

/** Why JSON cannot express a value, with what to do; undefined when it can, as far as its type tells. */
export function whyNotJson(value: unknown): string | undefined {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? undefined : `is ${value}; JSON has finite numbers only`;
    case "bigint":
      return isSafe(value) ? undefined : `is a BigInt beyond ±(2^53 - 1); pass it as a string`;
    case "undefined":
      return "is undefined; use null";
    case "function":
      return "is a function";
    case "symbol":
      return "is a symbol";
    case "object":
      return value === null ? undefined : whyNotObject(value);
    default:
      return undefined;
  }
}

function whyNotObject(value: object): string | undefined {
  if (value instanceof Map) return "is a Map; pass Object.fromEntries(map)";
  if (value instanceof Set) return "is a Set; pass [...set]";
  if (value instanceof Promise) return "is a Promise; await it first";
  if (value instanceof RegExp) return "is a RegExp; pass its source";
  if (value instanceof Error && !hasToJson(value)) return "is an Error; throw it, or pass its message";
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return "is binary; pass base64 text, or a Uint8Array as the whole value";
  }
  if (value instanceof Date && Number.isNaN(value.getTime())) return "is an invalid Date";
  return undefined;
}

/** Walks a value once, before JSON.stringify would drop or bend what it cannot express. */
class JsonCheck {
  hasBigInt = false;
  readonly #ancestors: object[] = [];

  check(value: unknown, path: string): void {
    if (typeof value === "string" || typeof value === "boolean" || value === null) return;
    const why = whyNotJson(value);
    if (why !== undefined) refuse(path, why);
    if (typeof value === "bigint") this.hasBigInt = true;
    if (typeof value !== "object") return;
    if (this.#ancestors.includes(value)) refuse(path, "contains itself");
    this.#ancestors.push(value);
    this.#checkInside(value, path);
    this.#ancestors.pop();
  }

  #checkInside(value: object, path: string): void {
    if (hasToJson(value)) {
      if (!(value instanceof Date)) this.check(value.toJSON(""), path);
    } else if (Array.isArray(value)) {
      // An index loop also visits holes, which JSON.stringify would turn into null.
      for (let i = 0; i < value.length; i++) this.check(value[i], `${path}[${i}]`);
    } else {
      for (const key of Object.keys(value)) {
        const field = (value as Record<string, unknown>)[key];
        if (field !== undefined) this.check(field, `${path}.${key}`);
      }
    }
  }
}

/** Whether JSON.stringify asks the object for the value to write. */
export function hasToJson(value: object): value is { toJSON: (key: string) => unknown } {
  return "toJSON" in value && typeof value.toJSON === "function";
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
}

function bigIntAsNumber(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

function refuse(path: string, why: string): never {
  throw new HeadraceError("INVALID_PAYLOAD", `${path} ${why}`, { field: path });
}
