import type { Limits } from "../core/limits.js";
import type { FieldCheck } from "./field-check.js";

/** Notes labels beyond the limits. Any text without NUL is a value; a key has at least one character. */
export function checkLabels(
  check: FieldCheck,
  field: string,
  labels: Readonly<Record<string, string>>,
  limits: Limits,
): void {
  const entries = Object.entries(labels);
  check.count(field, entries.length, limits.labels);
  for (const [key, value] of entries.slice(0, limits.labels)) {
    check.requiredText(`${field} key`, key, limits.labelKeyChars);
    check.text(`${field}[${JSON.stringify(key)}]`, value, limits.labelValueChars);
  }
}
