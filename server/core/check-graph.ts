import { shown } from "./names.js";
import { didYouMean } from "./nearest.js";
import type { Limits } from "./limits.js";
import type { ProblemList } from "./workflow-problem.js";
import type { TaskSpec } from "./workflow-spec.js";

/** Tasks by their index, with the edges between them. */
export interface Graph {
  readonly indexOf: ReadonlyMap<string, number>;
  /** In declared order. */
  readonly dependsOn: ReadonlyArray<readonly number[]>;
  readonly successors: ReadonlyArray<readonly number[]>;
  /** Every task after its dependencies; shorter than the graph when there is a cycle. */
  readonly order: readonly number[];
}

/** Looking for the nearest id costs a pass over all ids. */
const SUGGESTIONS_MAX = 10;
const CYCLE_SHOWN_MAX = 12;

/** Resolves dependencies and notes what is wrong with them. Linear in tasks and edges. */
export function checkGraph(tasks: readonly TaskSpec[], limits: Limits, problems: ProblemList): Graph {
  const indexOf = indexTasks(tasks, problems);
  const dependsOn = resolveDependencies(tasks, indexOf, limits, problems);
  const successors = invert(dependsOn);
  const order = topologicalOrder(dependsOn, successors);
  const graph = { indexOf, dependsOn, successors, order };
  if (order.length < tasks.length) noteCycles(tasks, graph, problems);
  return graph;
}

/** The same edges from their other end, in order of the index. */
export function invert(edges: ReadonlyArray<readonly number[]>): number[][] {
  const inverse: number[][] = edges.map(() => []);
  edges.forEach((targets, source) => {
    for (const target of targets) inverse[target]?.push(source);
  });
  return inverse;
}

function indexTasks(tasks: readonly TaskSpec[], problems: ProblemList): ReadonlyMap<string, number> {
  const indexOf = new Map<string, number>();
  tasks.forEach(({ id }, index) => {
    const first = indexOf.get(id);
    if (first === undefined) indexOf.set(id, index);
    else {
      const message = `The id ${shown(id)} is already the id of tasks[${first}]; rename one of them.`;
      problems.add(`tasks[${index}].id`, "DUPLICATE_TASK", message);
    }
  });
  return indexOf;
}

function resolveDependencies(
  tasks: readonly TaskSpec[],
  indexOf: ReadonlyMap<string, number>,
  limits: Limits,
  problems: ProblemList,
): ReadonlyArray<readonly number[]> {
  let suggestions = 0;
  return tasks.map(({ id, dependsOn = [] }, index) => {
    const path = `tasks[${index}].depends_on`;
    if (dependsOn.length > limits.dependenciesPerTask) {
      const message = `The task has ${dependsOn.length} dependencies, more than the limit of ${limits.dependenciesPerTask}; join some of them in a task between.`;
      problems.add(path, "TOO_MANY_DEPENDENCIES", message);
      return [];
    }
    const resolved = new Set<number>();
    dependsOn.forEach((dependency, at) => {
      const target = indexOf.get(dependency);
      const quoted = shown(dependency);
      if (dependency === id) {
        problems.add(
          `${path}[${at}]`,
          "SELF_DEPENDENCY",
          `The task ${quoted} depends on itself; remove this.`,
        );
      } else if (target === undefined) {
        const hint = suggestions++ < SUGGESTIONS_MAX ? didYouMean(dependency, indexOf.keys()) : "";
        const message = `There is no task ${quoted}; correct the id or add the task.${hint}`;
        problems.add(`${path}[${at}]`, "UNKNOWN_DEPENDENCY", message);
      } else if (resolved.has(target)) {
        problems.add(
          `${path}[${at}]`,
          "DUPLICATE_DEPENDENCY",
          `${quoted} is given twice; remove one of them.`,
        );
      } else {
        resolved.add(target);
      }
    });
    return [...resolved];
  });
}

/** Kahn's algorithm: tasks whose dependencies are all placed are placed next. */
function topologicalOrder(dependsOn: Graph["dependsOn"], successors: Graph["successors"]): readonly number[] {
  const open = dependsOn.map((dependencies) => dependencies.length);
  const order: number[] = [];
  open.forEach((count, index) => {
    if (count === 0) order.push(index);
  });
  // The list grows while it is read.
  for (const index of order) {
    for (const successor of successors[index] ?? []) {
      const left = (open[successor] ?? 0) - 1;
      open[successor] = left;
      if (left === 0) order.push(successor);
    }
  }
  return order;
}

/**
 * Names cycles that share no task. A task outside the order has a dependency outside the order, so
 * following first such dependencies from any of them must come back to a task already seen.
 */
function noteCycles(tasks: readonly TaskSpec[], graph: Graph, problems: ProblemList): void {
  const placed = new Uint8Array(tasks.length);
  for (const index of graph.order) placed[index] = 1;
  const walkOf = new Int32Array(tasks.length);
  tasks.forEach((_, start) => {
    const walk: number[] = [];
    let at: number | undefined = start;
    while (at !== undefined && placed[at] === 0 && walkOf[at] === 0) {
      walkOf[at] = start + 1;
      walk.push(at);
      at = graph.dependsOn[at]?.find((dependency) => placed[dependency] === 0);
    }
    if (walk.length === 0 || at === undefined || walkOf[at] !== start + 1) return;
    noteCycle(tasks, walk.slice(walk.indexOf(at)), problems);
  });
}

function noteCycle(tasks: readonly TaskSpec[], cycle: readonly number[], problems: ProblemList): void {
  const ids = cycle.map((index) => tasks[index]?.id ?? "");
  const [first = "", next = first] = ids;
  const at = tasks[cycle[0] ?? 0]?.dependsOn?.indexOf(next) ?? 0;
  const path = `tasks[${cycle[0] ?? 0}].depends_on[${at}]`;
  const shown =
    ids.length <= CYCLE_SHOWN_MAX
      ? ids
      : [...ids.slice(0, CYCLE_SHOWN_MAX), `… ${ids.length} tasks in all …`];
  const route = [...shown, first].join(" → ");
  const message = `These tasks wait for each other, each for the next: ${route}. Remove one of these dependencies.`;
  problems.add(path, "CYCLE", message);
}
