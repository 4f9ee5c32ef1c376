/** Why an expression cannot be compiled or has no value. */
export type ExpressionReason =
  | "EXPRESSION_SYNTAX"
  | "EXPRESSION_UNKNOWN_NAME"
  | "EXPRESSION_TOO_COMPLEX"
  | "EXPRESSION_FAILED"
  | "EXPRESSION_TOO_COSTLY"
  | "EXPRESSION_RESULT_TOO_LARGE";

/** An expression does not compile, or its evaluation failed. The message names the place. */
export class ExpressionError extends Error {
  readonly reason: ExpressionReason;

  constructor(reason: ExpressionReason, message: string) {
    super(message);
    this.name = "ExpressionError";
    this.reason = reason;
  }
}

/** A place in an expression for people, such as "(at column 7)" or "(at line 2, column 3)". */
export function placeOf(source: string, offset: number): string {
  const before = source.slice(0, offset).split("\n");
  const column = (before.at(-1)?.length ?? 0) + 1;
  return source.includes("\n") ? `(at line ${before.length}, column ${column})` : `(at column ${column})`;
}
