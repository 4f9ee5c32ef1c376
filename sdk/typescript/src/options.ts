import { HeadraceError } from "./errors.js";

const SHOWN_CHARS = 100;

/** Throws INVALID_OPTION when `given` has a key that is not one of `known`. */
export function refuseUnknownOptions(given: object, known: readonly string[], where: string): void {
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    throw new HeadraceError("INVALID_OPTION", `${where} has no option "${key}"`, {
      field: key,
      remedy: `Known options: ${known.join(", ")}.`,
    });
  }
}

/** A value as a message shows it: text in quotes, so that "5" is not taken for 5. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, SHOWN_CHARS));
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? "a list" : "an object";
}

/** The labels as a map of their own. Throws INVALID_OPTION unless each is text. */
export function requireLabels(labels: unknown = {}): Record<string, string> {
  if (typeof labels !== "object" || labels === null || Array.isArray(labels)) {
    throw new HeadraceError("INVALID_OPTION", `labels is ${shown(labels)}`, {
      field: "labels",
      actual: shown(labels),
      remedy: 'Give an object with texts, such as { shop: "a" }.',
    });
  }
  for (const [key, value] of Object.entries(labels)) {
    if (typeof value === "string") continue;
    const field = `labels[${JSON.stringify(key)}]`;
    throw new HeadraceError("INVALID_OPTION", `${field} is ${shown(value)}`, {
      field,
      actual: shown(value),
      remedy: "Give text.",
    });
  }
  return { ...labels };
}

/** Throws INVALID_OPTION unless `value` is a whole number from `least` to `most`. */
export function requireWhole(value: number, least: number, most: number, field: string): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new HeadraceError("INVALID_OPTION", `${field} is ${shown(value)}`, {
    field,
    limit: `${least} to ${most}`,
    actual: shown(value),
    remedy: `Give a whole number from ${least} to ${most}.`,
  });
}
