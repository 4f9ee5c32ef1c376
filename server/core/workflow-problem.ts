/** One thing that is wrong with a workflow. */
export interface WorkflowProblem {
  /** Where, in field names of the contract: "tasks[3].depends_on[0]". Empty: the workflow as a whole. */
  readonly path: string;
  /** Stable, UPPER_SNAKE_CASE. */
  readonly reason: WorkflowProblemReason;
  /** What is wrong, with limit and value, and what to do. */
  readonly message: string;
}

export type WorkflowProblemReason =
  | "CYCLE"
  | "DUPLICATE_DEPENDENCY"
  | "DUPLICATE_TASK"
  | "EMPTY"
  | "EXPRESSION_SYNTAX"
  | "EXPRESSION_TOO_COMPLEX"
  | "EXPRESSION_UNKNOWN_NAME"
  | "INVALID_NAME"
  | "INVALID_PAYLOAD"
  | "INVALID_SCHEMA"
  | "INVALID_TEXT"
  | "NOT_A_DEPENDENCY"
  | "OUT_OF_RANGE"
  | "SELF_DEPENDENCY"
  | "TOO_LONG"
  | "TOO_MANY_DEPENDENCIES"
  | "TOO_MANY_LABELS"
  | "TOO_MANY_PROBLEMS"
  | "TOO_MANY_TASKS"
  | "TOO_MANY_VALUES"
  | "UNKNOWN_DEPENDENCY"
  | "UNKNOWN_VALUE";

/** Of one workflow, so many problems are told at a time. */
export const PROBLEMS_MAX = 1_000;

const collator = new Intl.Collator("en", { numeric: true });

/** The order in which problems are told: by path, in which tasks[9] comes before tasks[10]. */
export function comparePaths(a: string, b: string): number {
  return collator.compare(a, b);
}

/** Collects what is wrong, and tells it in the order of the paths; after a thousand problems it only says that there are more. */
export class ProblemList {
  readonly #problems: WorkflowProblem[] = [];
  #dropped = 0;

  add(path: string, reason: WorkflowProblemReason, message: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push({ path, reason, message });
    else this.#dropped++;
  }

  /** Adds a problem when there is one. */
  note(path: string, reason: WorkflowProblemReason, message: string | undefined): void {
    if (message !== undefined) this.add(path, reason, message);
  }

  get count(): number {
    return this.#problems.length;
  }

  toArray(): readonly WorkflowProblem[] {
    const problems = this.#problems.toSorted((a, b) => comparePaths(a.path, b.path));
    if (this.#dropped === 0) return problems;
    const message = `There are ${this.#dropped} more problems; correct these ${PROBLEMS_MAX} first.`;
    return [...problems, { path: "", reason: "TOO_MANY_PROBLEMS", message }];
  }
}
