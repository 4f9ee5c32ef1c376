import type { Limits } from "./limits.js";
import type { Payload } from "./payload.js";

/** What is wrong with a payload as a client or a worker sends it. */
export interface PayloadProblem {
  readonly reason: "PAYLOAD_TOO_LARGE" | "INVALID_ENCODING";
  readonly message: string;
  readonly limit: number | string;
  readonly actual: number | string;
}

const ENCODING = /^[a-z0-9+./-]{1,64}$/;

/** Checks size and encoding name, which is all that the server asks of bytes that it does not read. */
export function payloadProblem(
  payload: Payload,
  limits: Pick<Limits, "payloadBytes">,
): PayloadProblem | undefined {
  const { data, encoding } = payload;
  if (data.length > limits.payloadBytes) {
    const message = `The payload has ${data.length} bytes, more than the limit of ${limits.payloadBytes}; store the data elsewhere and pass a reference.`;
    return { reason: "PAYLOAD_TOO_LARGE", message, limit: limits.payloadBytes, actual: data.length };
  }
  if (ENCODING.test(encoding)) return undefined;
  const actual = encoding.slice(0, 100);
  const message = `The encoding is ${JSON.stringify(actual)}; it must be 1 to 64 characters of [a-z0-9+./-], such as "json".`;
  return { reason: "INVALID_ENCODING", message, limit: ENCODING.source, actual };
}
