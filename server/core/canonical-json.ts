/**
 * The canonical JSON text of a value (RFC 8785): keys in order of their UTF-16 units, numbers as
 * ECMAScript prints them, no white space. Equal values have equal texts. Members that are undefined
 * are left out. Throws TypeError for what has no such text: NaN, infinities, ints as bigint, functions,
 * and strings with half a surrogate pair.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return quote(value);
  if (typeof value === "number") return numeral(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && isPlain(value)) return members(value as Readonly<Record<string, unknown>>);
  throw new TypeError(`Canonical JSON has no form of ${Object.prototype.toString.call(value)}`);
}

function members(object: Readonly<Record<string, unknown>>): string {
  const parts: string[] = [];
  // The default order of sort() is that of UTF-16 units, which is what the RFC asks for.
  for (const key of Object.keys(object).sort()) {
    const value = object[key];
    if (value !== undefined) parts.push(`${quote(key)}:${canonicalJson(value)}`);
  }
  return `{${parts.join(",")}}`;
}

function quote(text: string): string {
  if (/\p{Surrogate}/u.test(text)) throw new TypeError("Canonical JSON has no form of half a surrogate pair");
  return JSON.stringify(text);
}

function numeral(number: number): string {
  if (!Number.isFinite(number)) throw new TypeError(`Canonical JSON has no form of ${number}`);
  return JSON.stringify(number);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
