import type { Command } from "commander";
import { readInteger } from "./option-values.js";

/** Options of commands that list. */
export interface PageOptions {
  readonly limit: string;
  readonly pageToken?: string;
}

interface PagedResponse {
  nextPageToken: string;
}

interface PageSource<R> {
  fetch(paging: { pageSize: number; pageToken: string }): Promise<R>;
  /** The list in a response, to which later pages are appended. */
  itemsOf(response: R): unknown[];
}

const LARGEST_PAGE = 1_000;
const LARGEST_LIMIT = 100_000;

/** For lists of which only the whole makes sense. */
export const EVERYTHING: PageOptions = { limit: String(LARGEST_LIMIT) };

/** Gives a command --limit and --page-token. */
export function addPageOptions(command: Command, defaultLimit: number): Command {
  return command
    .option("--limit <number>", "how many at most", String(defaultLimit))
    .option("--page-token <token>", "go on where an earlier list ended");
}

/** As many pages as the limit needs, as one response. */
export async function listPages<R extends PagedResponse>(
  options: PageOptions,
  source: PageSource<R>,
): Promise<R> {
  const limit = readInteger(options.limit, "--limit", { min: 1, max: LARGEST_LIMIT });
  const fetch = (count: number, pageToken: string): Promise<R> =>
    source.fetch({ pageSize: Math.min(count, LARGEST_PAGE), pageToken });
  const all = await fetch(limit, options.pageToken ?? "");
  const items = source.itemsOf(all);
  while (items.length < limit && all.nextPageToken !== "") {
    const next = await fetch(limit - items.length, all.nextPageToken);
    items.push(...source.itemsOf(next));
    all.nextPageToken = next.nextPageToken;
  }
  return all;
}

/** A line that tells how to see more, or none. */
export function nextPageHint(nextPageToken: string): string[] {
  return nextPageToken === "" ? [] : [`more: --page-token ${nextPageToken}, or a larger --limit`];
}
