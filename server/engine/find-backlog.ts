import type { FoundRoute, LeaseStore, RouteRange } from "./lease-store.js";
import { routeKey, type FoundBacklog, type RouteLine } from "./route-line.js";

/** From so many routes of a queue on its backlog is walked through as a whole. */
const ROUTES_EACH = 16;
const RANGES_MAX = 1_000;
/** Before and after all names of handlers, which are ASCII. */
const [FIRST_NAME, LAST_NAME] = ["", "~"];
const NOTHING: FoundBacklog = { priority: undefined, suspects: false };

/**
 * Tells each line what waits for it in the database. However many handlers a worker has, this takes
 * about one statement, and as long as nothing waits one step in the index for each queue.
 */
export async function findBacklog(store: LeaseStore, lines: ReadonlySet<RouteLine>): Promise<void> {
  const asked = [...lines].map((line) => ({ line, raised: line.raised }));
  const ranges = rangesOf(lines);
  const found = new Map<string, FoundBacklog>();
  for (let at = 0; at < ranges.length; at += RANGES_MAX) {
    for (const route of await store.findBacklog(ranges.slice(at, at + RANGES_MAX))) note(found, route);
  }
  for (const { line, raised } of asked) line.looked(raised, found.get(routeKey(line.route)) ?? NOTHING);
}

function note(found: Map<string, FoundBacklog>, route: FoundRoute): void {
  const key = routeKey(route);
  const known = found.get(key) ?? NOTHING;
  found.set(key, route.suspects ? { ...known, suspects: true } : { ...known, priority: route.priority });
}

function rangesOf(lines: Iterable<RouteLine>): RouteRange[] {
  const queues = new Map<string, RouteRange[]>();
  for (const { route } of lines) {
    const { namespaceId, queue, handler } = route;
    const key = `${namespaceId}\0${queue}`;
    const range = { namespaceId, queue, firstHandler: handler, lastHandler: handler };
    const ranges = queues.get(key);
    if (ranges === undefined) queues.set(key, [range]);
    else ranges.push(range);
  }
  return [...queues.values()].flatMap((ranges) => {
    const [range] = ranges;
    if (range === undefined || ranges.length < ROUTES_EACH) return ranges;
    return [{ ...range, firstHandler: FIRST_NAME, lastHandler: LAST_NAME }];
  });
}
