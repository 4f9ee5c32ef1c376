/** A place where the repository breaks one of its own rules. */
export interface TidyViolation {
  readonly rule: string;
  readonly path: string;
  readonly message: string;
}
