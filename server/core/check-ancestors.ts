import type { Graph } from "./check-graph.js";

/** An expression of one task that names another. */
export interface Reference {
  readonly reader: number;
  readonly read: number;
}

const BITS = 32;

/**
 * The references whose reader does not come after what it reads. Ancestors are spread as bit sets
 * along the order, 32 of the tasks that are read in one pass, so memory stays linear and the graph
 * is walked once for each 32 of them, however many tasks read them. The graph must have no cycle.
 */
export function findNonAncestors(graph: Graph, references: readonly Reference[]): readonly Reference[] {
  const readersOf = new Map<number, Reference[]>();
  for (const reference of references) {
    if (isNearby(graph, reference)) continue;
    const same = readersOf.get(reference.read);
    if (same === undefined) readersOf.set(reference.read, [reference]);
    else same.push(reference);
  }
  const reads = [...readersOf.keys()];
  const wrong: Reference[] = [];
  for (let from = 0; from < reads.length; from += BITS) {
    const batch = reads.slice(from, from + BITS);
    const ancestors = spread(graph, batch);
    batch.forEach((read, bit) => {
      for (const reference of readersOf.get(read) ?? []) {
        if (((ancestors[reference.reader] ?? 0) & (1 << bit)) === 0) wrong.push(reference);
      }
    });
  }
  return wrong;
}

/** A direct dependency, found without a walk; long lists are not worth searching. */
function isNearby(graph: Graph, { reader, read }: Reference): boolean {
  const direct = graph.dependsOn[reader] ?? [];
  return direct.length <= BITS && direct.includes(read);
}

/** For each task, which tasks of the batch are its ancestors, one bit each. */
function spread(graph: Graph, batch: readonly number[]): Int32Array {
  const own = new Int32Array(graph.dependsOn.length);
  batch.forEach((read, bit) => {
    own[read] = 1 << bit;
  });
  const ancestors = new Int32Array(own.length);
  for (const index of graph.order) {
    let bits = 0;
    for (const dependency of graph.dependsOn[index] ?? []) {
      bits |= (ancestors[dependency] ?? 0) | (own[dependency] ?? 0);
    }
    ancestors[index] = bits;
  }
  return ancestors;
}
