import { HeadraceError } from "../core/errors.js";
import type { FieldCheck } from "./field-check.js";

const PAGE_TOKEN_CHARS_MAX = 1_024;

/** The token of a page as the client gave it back. */
export function pageTokenOf(check: FieldCheck, request: { readonly pageToken: string }): string {
  return check.text("page_token", request.pageToken, PAGE_TOKEN_CHARS_MAX);
}

/** The handler of a call that the contract has and this server does not implement. */
export function unsupportedCall(name: string): () => Promise<never> {
  return () => Promise.reject(new HeadraceError("NOT_SUPPORTED_YET", `${name} is not supported yet.`));
}
