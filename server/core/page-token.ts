import { createHash } from "node:crypto";
import { HeadraceError } from "./errors.js";

/** What stands at one place of a position: the sort key of the last row of a page. */
export type PositionKind = "text" | "integer" | "uuid";

export type Position<Kinds extends readonly PositionKind[]> = {
  -readonly [Index in keyof Kinds]: Kinds[Index] extends "integer" ? number : string;
};

/** Which list a token belongs to. It serves no other list and no other filter. */
export interface PagedList<Kinds extends readonly PositionKind[]> {
  readonly name: string;
  /** Everything that chooses the rows: namespace and filters, as a JSON value. */
  readonly filter: unknown;
  readonly kinds: Kinds;
}

const VERSION = 1;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAX_TOKEN_CHARS = 2_048;

/** The token that continues a list after this position. Opaque to clients. */
export function encodePageToken<const Kinds extends readonly PositionKind[]>(
  list: PagedList<Kinds>,
  position: Position<Kinds>,
): string {
  return Buffer.from(JSON.stringify([VERSION, fingerprint(list), ...position])).toString("base64url");
}

/**
 * The position that a token holds; undefined for the empty token, which asks for the first page.
 * Throws INVALID_FIELD for anything that this list did not give out. A token is a position and no
 * secret: whoever makes one up reads nothing that the list would not show.
 */
export function decodePageToken<const Kinds extends readonly PositionKind[]>(
  list: PagedList<Kinds>,
  token: string,
): Position<Kinds> | undefined {
  if (token === "") return undefined;
  if (token.length > MAX_TOKEN_CHARS) throw invalid("it is too long");
  const content = parse(token);
  if (!Array.isArray(content)) throw invalid("it was not given out by this server");
  const [version, owner, ...position] = content as unknown[];
  if (version !== VERSION) throw invalid("it was given out by another version of the server");
  if (owner !== fingerprint(list)) throw invalid("it belongs to another list or to other filters");
  const isSound =
    position.length === list.kinds.length && list.kinds.every((kind, index) => isKind(position[index], kind));
  if (!isSound) throw invalid("its position is not valid");
  return position as Position<Kinds>;
}

function fingerprint(list: PagedList<readonly PositionKind[]>): string {
  return createHash("sha256")
    .update(JSON.stringify([list.name, list.filter]))
    .digest("base64url")
    .slice(0, 12);
}

function parse(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}

function isKind(value: unknown, kind: PositionKind): boolean {
  if (kind === "integer") return Number.isSafeInteger(value);
  if (typeof value !== "string") return false;
  // PostgreSQL stores no zero character.
  return kind === "uuid" ? UUID.test(value) : !value.includes("\0");
}

function invalid(what: string): HeadraceError {
  const message = `The page token is not valid: ${what}. Start again with an empty one.`;
  return new HeadraceError("INVALID_FIELD", message, {
    field: "page_token",
    violations: [{ field: "page_token", reason: "INVALID_PAGE_TOKEN", message }],
  });
}
