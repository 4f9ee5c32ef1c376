/** A value that users own: bytes and the name of their encoding. */
export interface Payload {
  readonly data: Uint8Array;
  /** "json" is UTF-8 JSON text (RFC 8259). */
  readonly encoding: string;
}

/** The encoding that expressions can read. */
export const JSON_ENCODING = "json";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The JSON payload of a value. The value must be representable in JSON. */
export function jsonPayload(value: unknown): Payload {
  return { data: encoder.encode(JSON.stringify(value)), encoding: JSON_ENCODING };
}

/** JSON `null`, the input of an execution that was started without one. */
export const NULL_PAYLOAD: Payload = jsonPayload(null);

/** The value of a JSON payload. Throws SyntaxError or TypeError when it is not valid UTF-8 JSON. */
export function parseJson(payload: Payload): unknown {
  return JSON.parse(decoder.decode(payload.data));
}
