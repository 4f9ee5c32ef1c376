import { InputError } from "./input-error.js";
import { JSON_ENCODING, type Payload } from "./payload.js";

interface Read {
  readonly text: string;
  readonly value: unknown;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Reads JSON payloads, each at most once for as long as the reader lives. */
export class PayloadReader {
  readonly #reads = new Map<Payload, Read>();

  /** The value. `what` names the payload in errors. Throws InputError PAYLOAD_NOT_JSON. */
  value(payload: Payload, what: string): unknown {
    return this.#read(payload, what).value;
  }

  /** The text, which is known to be valid JSON. Throws InputError PAYLOAD_NOT_JSON. */
  text(payload: Payload, what: string): string {
    return this.#read(payload, what).text;
  }

  #read(payload: Payload, what: string): Read {
    const known = this.#reads.get(payload);
    if (known !== undefined) return known;
    const read = parse(payload, what);
    this.#reads.set(payload, read);
    return read;
  }
}

/** No bytes stand for no value, as in the contract; JSON has no empty text. */
export function isEmptyPayload(payload: Payload): boolean {
  return payload.data.length === 0 && payload.encoding === JSON_ENCODING;
}

function parse(payload: Payload, what: string): Read {
  const { data, encoding } = payload;
  if (encoding !== JSON_ENCODING) {
    throw new InputError(
      "PAYLOAD_NOT_JSON",
      `${what} is encoded as ${JSON.stringify(encoding)}, so it cannot be read here. Give it as JSON, or hand it on whole with an expression that is nothing but its name.`,
    );
  }
  if (data.length === 0) return { text: "null", value: null };
  try {
    const text = decoder.decode(data);
    return { text, value: JSON.parse(text) };
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new InputError("PAYLOAD_NOT_JSON", `${what} is not valid JSON: ${cause}.`);
  }
}
