import type { ASTNode } from "@marcbachmann/cel-js";
import { ExpressionError, placeOf, type ExpressionReason } from "../expression-error.js";
import type { Evaluate } from "./run.js";

/** What the compiler knows at a node: the names that it may use and what was read so far. */
export interface Env {
  readonly source: string;
  readonly knownTaskIds: ReadonlySet<string>;
  /** Collects the tasks whose outputs are read. */
  readonly readTaskIds: Set<string>;
  /** Slots of loop variables and bindings that are in scope. */
  readonly slots: ReadonlyMap<string, number>;
  readonly compile: (node: ASTNode, env: Env) => Evaluate;
}

/** The names that every expression has; loop variables may not hide them. */
export const ROOT_NAMES: readonly string[] = ["input", "tasks", "execution"];

/** The environment with one more local name, and its slot. */
export function withLocal(env: Env, node: ASTNode): { readonly inner: Env; readonly slot: number } {
  if (node.op !== "id")
    throw refused(env, "EXPRESSION_SYNTAX", node, "Expected the name of a variable here.");
  const name = node.args;
  if (ROOT_NAMES.includes(name) || env.slots.has(name)) {
    throw refused(env, "EXPRESSION_SYNTAX", node, `The name "${name}" is taken; choose another variable.`);
  }
  const slot = env.slots.size;
  return { inner: { ...env, slots: new Map(env.slots).set(name, slot) }, slot };
}

/** The error of a node that is refused before anything runs. */
export function refused(env: Env, reason: ExpressionReason, node: ASTNode, message: string): ExpressionError {
  return new ExpressionError(reason, `${message} ${placeOf(env.source, node.start)}`);
}
