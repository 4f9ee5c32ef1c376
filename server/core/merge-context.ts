import { InputError } from "./input-error.js";
import { membersOf, objectText } from "./json-members.js";
import { JSON_ENCODING, type Payload } from "./payload.js";
import { isEmptyPayload, type PayloadReader } from "./payload-reader.js";

/** One payload of a context, and the key that it stands under when it is not an object. */
export interface ContextPart {
  readonly payload: Payload;
  readonly key: string;
  /** For errors, such as `The output of task "a"`. */
  readonly what: string;
}

interface MergeOptions {
  readonly reader: PayloadReader;
  readonly payloadBytesMax: number;
}

/** The parts of a context may be this many times larger than what may come of them. */
const READ_FACTOR = 8;
const LINE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const encoder = new TextEncoder();

/**
 * Merges parts key by key, later ones win, shallow; a part that is not a JSON object stands under its
 * key. A single part that is an object is handed on as the same bytes, and so is a single part that
 * is not JSON at all, because there is nothing to merge it with. Values keep their written form.
 */
export function mergeContext(
  parts: readonly ContextPart[],
  { reader, payloadBytesMax }: MergeOptions,
): Payload {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined && canPass(only.payload)) return only.payload;
  let bytes = 0;
  for (const { payload } of parts) bytes += payload.data.length;
  if (bytes > payloadBytesMax * READ_FACTOR) {
    throw new InputError(
      "PAYLOAD_TOO_LARGE",
      `The workflow input and the outputs of the dependencies have ${bytes} bytes together, more than ${READ_FACTOR} times the payload limit of ${payloadBytesMax}; name what the task needs with an input mapping.`,
    );
  }
  const merged = new Map<string, string>();
  for (const { payload, key, what } of parts) {
    const text = reader.text(payload, what);
    const members = membersOf(text);
    if (members === undefined) merged.set(key, text.trim());
    else for (const [name, value] of members) merged.set(name, value);
  }
  return jsonText(objectText(merged), payloadBytesMax);
}

/** A payload of JSON text. Throws InputError PAYLOAD_TOO_LARGE. */
export function jsonText(text: string, payloadBytesMax: number): Payload {
  const data = encoder.encode(text);
  if (data.length <= payloadBytesMax) return { data, encoding: JSON_ENCODING };
  throw new InputError(
    "PAYLOAD_TOO_LARGE",
    `The value has ${data.length} bytes, more than the payload limit of ${payloadBytesMax}. Pass less, or a reference to data that is stored elsewhere.`,
  );
}

/** Whether a payload has no members to give: nothing, null or {}. */
export function givesNothing(payload: Payload): boolean {
  if (isEmptyPayload(payload)) return true;
  if (payload.encoding !== JSON_ENCODING || payload.data.length > 16) return false;
  const text = Buffer.from(payload.data)
    .toString("latin1")
    .replace(/[ \t\n\r]/g, "");
  return text === "null" || text === "{}";
}

function canPass(payload: Payload): boolean {
  if (payload.encoding !== JSON_ENCODING) return true;
  const first = payload.data.find((byte) => !LINE_SPACE.has(byte));
  return first === 0x7b;
}
