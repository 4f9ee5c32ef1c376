import type { Violation } from "../core/errors.js";
import { comparePaths, PROBLEMS_MAX, type WorkflowProblem } from "../core/workflow-problem.js";

/**
 * Everything that is wrong with a spec, in the order of the paths: what its message got wrong, and what
 * the engine finds in the rest. What the message got wrong is not in the spec that the engine sees, so
 * nothing that it says of the same path is true of what was sent.
 */
export function allViolations(
  refused: readonly Violation[],
  problems: readonly WorkflowProblem[],
): readonly Violation[] {
  const paths = new Set(refused.map(({ field }) => field));
  const rest = problems
    .filter(({ path }) => !paths.has(path))
    .map(({ path, reason, message }) => ({ field: path, reason, message }));
  const all = [...refused, ...rest].sort((a, b) => comparePaths(a.field, b.field));
  if (all.length <= PROBLEMS_MAX) return all;
  const message = `There are ${all.length - PROBLEMS_MAX} more problems; correct these ${PROBLEMS_MAX} first.`;
  return [...all.slice(0, PROBLEMS_MAX), { field: "", reason: "TOO_MANY_PROBLEMS", message }];
}
