import { HeadraceError } from "./errors.js";

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

/** Throws INVALID_OPTION unless `value` is a whole number from `least` to `most`. */
export function requireWhole(value: number, least: number, most: number, field: string): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new HeadraceError("INVALID_OPTION", `${field} is ${value}`, {
    field,
    limit: `${least} to ${most}`,
    actual: value,
    remedy: `Give a whole number from ${least} to ${most}.`,
  });
}
