import type { Failure } from "../core/failure.js";
import { JSON_ENCODING, type Payload } from "../core/payload.js";

/** Statements take batches as one array for each column. */
export function column<Row, Value>(rows: readonly Row[], pick: (row: Row) => Value): Value[] {
  return rows.map(pick);
}

/** An absent value as SQL has it. */
export function orNull<Value>(value: Value | undefined): Value | null {
  return value ?? null;
}

/** The bytes of a payload; null when there is none. */
export function dataOf(payload: Payload | undefined): Uint8Array | null {
  return payload === undefined ? null : payload.data;
}

/** The stored encoding of a payload: null for "json", the usual case, and for none. */
export function encodingOf(payload: Payload | undefined): string | null {
  return payload === undefined || payload.encoding === JSON_ENCODING ? null : payload.encoding;
}

/** A payload from its two columns. */
export function payloadOf(data: Uint8Array | null, encoding: string | null): Payload | undefined {
  return data === null ? undefined : { data, encoding: encoding ?? JSON_ENCODING };
}

interface StoredFailure extends Omit<Failure, "details" | "cause"> {
  readonly details?: { readonly data: string; readonly encoding: string };
  readonly cause?: StoredFailure;
}

/** A failure as it is stored: JSON text, with the bytes of its details as base64. */
export function encodeFailure(failure: Failure | undefined): Buffer | null {
  return failure === undefined ? null : Buffer.from(JSON.stringify(toStored(failure)));
}

/** The inverse of `encodeFailure`. */
export function decodeFailure(bytes: Uint8Array | null): Failure | undefined {
  if (bytes === null) return undefined;
  return fromStored(JSON.parse(Buffer.from(bytes).toString("utf8")) as StoredFailure);
}

function toStored({ details, cause, ...failure }: Failure): StoredFailure {
  return {
    ...failure,
    ...(details === undefined
      ? {}
      : { details: { data: Buffer.from(details.data).toString("base64"), encoding: details.encoding } }),
    ...(cause === undefined ? {} : { cause: toStored(cause) }),
  };
}

function fromStored({ details, cause, ...failure }: StoredFailure): Failure {
  return {
    ...failure,
    ...(details === undefined
      ? {}
      : { details: { data: Buffer.from(details.data, "base64"), encoding: details.encoding } }),
    ...(cause === undefined ? {} : { cause: fromStored(cause) }),
  };
}

/** A UUID column as 32 hexadecimal digits. */
export function hexOf(uuid: string): string {
  return uuid.replaceAll("-", "");
}

/** A nullable number column. */
export function numberOf(value: number | null): number | undefined {
  return value ?? undefined;
}
