const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

/**
 * The members of a JSON object with the text of each value as it was written, so that objects can be
 * merged without touching their values: numbers beyond the precision of doubles stay what they are.
 * A key that is given twice keeps its last value. Undefined when the text is another JSON value.
 * The text must be valid JSON, which `JSON.parse` tells.
 */
export function membersOf(json: string): ReadonlyMap<string, string> | undefined {
  const start = json.search(/\S/);
  if (json[start] !== "{") return undefined;
  const members = new Map<string, string>();
  let key: string | undefined;
  let from = start + 1;
  let depth = 0;
  for (let at = from; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(json, at);
    } else if (code === COLON && depth === 0) {
      key = JSON.parse(json.slice(from, at)) as string;
      from = at + 1;
    } else if (code === 0x7b || code === 0x5b) {
      depth++;
    } else if (code === 0x7d || code === 0x5d || (code === COMMA && depth === 0)) {
      if (depth === 0 && key !== undefined) members.set(key, json.slice(from, at).trim());
      if (depth === 0) from = at + 1;
      if (code !== COMMA) depth--;
    }
  }
  return members;
}

/** The text of a JSON object from its members. */
export function objectText(members: ReadonlyMap<string, string>): string {
  const parts: string[] = [];
  for (const [key, value] of members) parts.push(`${JSON.stringify(key)}:${value}`);
  return `{${parts.join(",")}}`;
}

/** The place of the quote that closes the string that opens at `open`. */
function endOfString(json: string, open: number): number {
  let close = json.indexOf('"', open + 1);
  while (isEscaped(json, close)) close = json.indexOf('"', close + 1);
  return close;
}

function isEscaped(json: string, at: number): boolean {
  let slashes = 0;
  while (json.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++;
  return slashes % 2 === 1;
}
