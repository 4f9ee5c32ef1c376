import { HeadraceError } from "../core/errors.js";

const MIN_PREFIX_DIGITS = 6;
const VERSION_DIGITS = 32;

/** A version as clients see it: 32 hexadecimal digits. */
export function versionText(uuid: string): string {
  return uuid.replaceAll("-", "");
}

/** The versions, as UUID text, that begin with what a client wrote. */
export interface VersionRange {
  readonly lowest: string;
  readonly highest: string;
}

/**
 * Reads a version or the beginning of one, 6 to 32 hexadecimal digits with or without dashes. Throws
 * INVALID_FIELD.
 */
export function parseVersion(text: string, field = "version"): VersionRange {
  const digits = text.replaceAll("-", "").toLowerCase();
  if (!/^[0-9a-f]*$/.test(digits) || digits.length < MIN_PREFIX_DIGITS || digits.length > VERSION_DIGITS) {
    throw new HeadraceError(
      "INVALID_FIELD",
      `The version "${text.slice(0, 64)}" must be ${MIN_PREFIX_DIGITS} to ${VERSION_DIGITS} hexadecimal digits.`,
      { field, actual: text.slice(0, 64) },
    );
  }
  return {
    lowest: uuidText(digits.padEnd(VERSION_DIGITS, "0")),
    highest: uuidText(digits.padEnd(VERSION_DIGITS, "f")),
  };
}

function uuidText(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
