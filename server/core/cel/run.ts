import { ExpressionError, placeOf } from "../expression-error.js";
import type { Meter } from "./meter.js";

/** What an expression may read. Values are JSON values and are never changed. */
export interface ExpressionScope {
  readonly input: unknown;
  /** Output of a task that completed; undefined when it has none. Called only for tasks that are read. */
  readonly outputOf: (taskId: string) => unknown;
  readonly execution: { readonly id: string; readonly workflow: string; readonly created_at: string };
}

/** One evaluation of an expression. */
export interface Run {
  readonly source: string;
  readonly scope: ExpressionScope;
  readonly meter: Meter;
  /** Values of loop variables and bindings, by the slot that the compiler gave them. */
  readonly slots: unknown[];
  /** Offset in the source of the operation that runs, for messages. */
  at: number;
}

/** A compiled node: gives its value in a run. */
export type Evaluate = (run: Run) => unknown;

/** The error of an operation that cannot be done with these values. */
export function failed(run: Run, message: string): ExpressionError {
  return new ExpressionError("EXPRESSION_FAILED", `${message} ${placeOf(run.source, run.at)}`);
}
