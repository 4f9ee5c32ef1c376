import type { FieldCheck } from "./field-check.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The namespace of a request: empty means "default". */
export function namespaceOf(request: { readonly namespace: string }): string {
  return request.namespace === "" ? "default" : request.namespace;
}

/** A UUID in lower case, which is how the server compares them; undefined when it is none. */
export function uuidOf(text: string): string | undefined {
  if (UUID.test(text)) return text;
  const lower = text.toLowerCase();
  return UUID.test(lower) ? lower : undefined;
}

/** The UUID of a field that must have one; what is no UUID is noted as invalid. */
export function requiredUuid(check: FieldCheck, field: string, text: string): string {
  const uuid = uuidOf(text);
  if (uuid !== undefined) return uuid;
  if (text === "") check.invalid(field, `${field} is required.`);
  else
    check.invalid(field, `${field} is no UUID in its 36-character text form.`, {
      actual: text.slice(0, 100),
    });
  return "";
}

/** A UUIDv7 that the client chose, or empty; anything else is noted as invalid. */
export function optionalUuidV7(check: FieldCheck, field: string, text: string): string {
  const lower = text.toLowerCase();
  if (text !== "" && !UUID_V7.test(lower)) {
    check.invalid(field, `${field} is no UUIDv7 in its 36-character text form.`, {
      actual: text.slice(0, 100),
    });
  }
  return lower;
}
