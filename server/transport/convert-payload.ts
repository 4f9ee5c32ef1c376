import { isUtf8 } from "node:buffer";
import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import { JSON_ENCODING, type Payload } from "../core/payload.js";
import type { Payload as PayloadMessage } from "../gen/headrace/v1/payload_pb.js";

/** Deeper JSON overflows the stack of many parsers, so that no worker could read it. */
export const JSON_DEPTH_MAX = 512;

const ENCODING = /^[a-z0-9+./-]{1,64}$/;
/** An escaped UTF-16 surrogate, which may lack its other half. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * The payload of a message; undefined when unset. Throws PAYLOAD_TOO_LARGE, or INVALID_FIELD when the
 * encoding is not well-formed or "json" data is no JSON text.
 */
export function convertPayload(
  field: string,
  message: PayloadMessage | undefined,
  limits: Limits,
): Payload | undefined {
  if (message === undefined) return undefined;
  const { data } = message;
  const encoding = message.encoding === "" ? JSON_ENCODING : message.encoding;
  if (data.length > limits.payloadBytes) {
    throw new HeadraceError(
      "PAYLOAD_TOO_LARGE",
      `${field} has ${data.length} bytes; the limit is ${limits.payloadBytes}.`,
      { field, limit: limits.payloadBytes, actual: data.length },
    );
  }
  if (encoding === JSON_ENCODING) checkJson(field, data);
  else if (!ENCODING.test(encoding)) {
    const actual = encoding.slice(0, 100);
    throw invalid(`${field}.encoding`, "must be 1 to 64 characters of [a-z0-9+./-]", actual);
  }
  return { data: detached(data), encoding };
}

/** The message of a payload. */
export function payloadMessage(payload: Payload): PayloadMessage {
  return { $typeName: "headrace.v1.Payload", data: payload.data, encoding: payload.encoding };
}

/** As payloadMessage; undefined stays unset. */
export function optionalPayloadMessage(payload: Payload | undefined): PayloadMessage | undefined {
  return payload === undefined ? undefined : payloadMessage(payload);
}

function checkJson(field: string, data: Uint8Array): void {
  if (!isUtf8(data)) throw invalid(`${field}.data`, "is not valid UTF-8, which JSON must be");
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString();
  if (data.length > 2 * JSON_DEPTH_MAX && depthOf(data) > JSON_DEPTH_MAX) {
    throw invalid(`${field}.data`, `is JSON nested deeper than ${JSON_DEPTH_MAX} levels`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const remedy = 'send JSON text, or name the encoding if it is not "json"';
    throw invalid(
      `${field}.data`,
      data.length === 0 ? `is empty, which is no JSON; ${remedy}` : `is not JSON; ${remedy}`,
    );
  }
  if (SURROGATE_ESCAPE.test(text) && hasLoneSurrogate(value)) {
    throw invalid(
      `${field}.data`,
      "has a string with half a surrogate pair, which not every language can read",
    );
  }
}

/** How deep brackets nest. The text need not be valid JSON. */
function depthOf(data: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let index = 0; index < data.length; index++) {
    const byte = data[index];
    if (inString) {
      if (byte === 0x5c /* \ */) index++;
      else if (byte === 0x22 /* " */) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x5b /* [ */ || byte === 0x7b /* { */) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x5d /* ] */ || byte === 0x7d /* } */) depth--;
  }
  return deepest;
}

function hasLoneSurrogate(root: unknown): boolean {
  const open = [root];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value === "string") {
      if (LONE_SURROGATE.test(value)) return true;
    } else if (typeof value === "object" && value !== null) {
      for (const [key, child] of Object.entries(value)) open.push(key, child);
    }
  }
  return false;
}

/**
 * The bytes without the network buffer that they came in, which may be far larger and would live as long
 * as they do.
 */
function detached(data: Uint8Array): Uint8Array {
  return data.byteLength * 4 < data.buffer.byteLength ? Buffer.from(data) : data;
}

function invalid(field: string, problem: string, actual?: string): HeadraceError {
  const shown = actual === undefined ? "" : ` It is ${JSON.stringify(actual)}.`;
  return new HeadraceError("INVALID_FIELD", `${field} ${problem}.${shown}`, {
    field,
    ...(actual !== undefined && { actual }),
  });
}
