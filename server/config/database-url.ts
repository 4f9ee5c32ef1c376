/**
 * Takes named parameters out of the query of a database URL, so that the settings made from them are the
 * only truth: a driver would otherwise prefer what the URL says. The rest stays letter by letter.
 */
export function takeUrlParameters(
  url: string,
  names: readonly string[],
): { rest: string; parameters: ReadonlyMap<string, string> } {
  const parameters = new Map<string, string>();
  const queryAt = url.indexOf("?");
  if (queryAt < 0) return { rest: url, parameters };
  const kept: string[] = [];
  for (const pair of url.slice(queryAt + 1).split("&")) {
    const [[name, value] = ["", ""]] = new URLSearchParams(pair);
    if (names.includes(name)) parameters.set(name, value);
    else kept.push(pair);
  }
  const query = kept.length === 0 ? "" : `?${kept.join("&")}`;
  return { rest: url.slice(0, queryAt) + query, parameters };
}

/** The URL with its passwords replaced, to be shown. */
export function maskDatabaseUrl(url: string): string {
  return url
    .replace(/^([a-z]+:\/\/[^:@/?]*):[^/?]*@/i, "$1:***@")
    .replace(/([?&](?:password|sslpassword|passfile)=)[^&]*/gi, "$1***");
}
