import { Environment, ParseError, type ASTNode } from "@marcbachmann/cel-js";
import { taskOutputOf } from "./cel/compile-access.js";
import { compileNode } from "./cel/compile-node.js";
import type { Env } from "./cel/env.js";
import { Meter } from "./cel/meter.js";
import type { Evaluate, ExpressionScope } from "./cel/run.js";
import { toJson } from "./cel/value.js";
import { ExpressionError, placeOf } from "./expression-error.js";
import type { Limits } from "./limits.js";

export type { ExpressionScope } from "./cel/run.js";
export { ExpressionError, type ExpressionReason } from "./expression-error.js";

const DEPTH_MAX = 100;

/** The one value that an expression names without computing anything. */
export type CopySource = { readonly kind: "input" } | { readonly kind: "task"; readonly taskId: string };

/** A CEL expression that was parsed and checked. */
export interface CompiledExpression {
  readonly source: string;
  /** Ids of the tasks whose outputs it reads. */
  readonly taskIds: readonly string[];
  /** Set when it is just `input` or `tasks.<id>.output`, whose bytes can be handed on as they are. */
  readonly copyOf?: CopySource;
  /** A fresh budget, for evaluations that share one. */
  newMeter(): Meter;
  /** The value as JSON. Throws ExpressionError when it fails or exceeds its budget. */
  evaluate(scope: ExpressionScope, meter?: Meter): unknown;
}

/**
 * Compiles a CEL expression over `input`, `tasks.<id>.output` and `execution`. Throws
 * ExpressionError for one that does not parse, is too long, or names what does not exist.
 *
 * Parsing is the library's, evaluation is ours: every operation pays from a budget of steps before
 * it works, and nothing reaches an object of the host. What differs from plain CEL follows from
 * JSON. Numbers of JSON are doubles and mix with ints: `input.n + 1` is a double, `input.n / 2` never
 * truncates, `%` wants whole numbers. Keys of maps are strings. There are no unsigned ints, types as
 * values, or regular expressions. `has(x.y)` is false when x is null.
 */
export function compileExpression(
  source: string,
  scope: { readonly taskIds: ReadonlySet<string>; readonly limits: Limits },
): CompiledExpression {
  const { limits, taskIds } = scope;
  const ast = parse(source, limits);
  const readTaskIds = new Set<string>();
  const env: Env = { source, knownTaskIds: taskIds, readTaskIds, slots: new Map(), compile: compileNode };
  const root = guardStack("EXPRESSION_TOO_COMPLEX", () => compileNode(ast, env));
  const copyOf = copySource(ast, env);
  return {
    source,
    taskIds: [...readTaskIds],
    ...(copyOf === undefined ? {} : { copyOf }),
    newMeter: () => new Meter(limits.expressionSteps),
    evaluate: (values, meter = new Meter(limits.expressionSteps)) =>
      run(root, { source, values, meter, limits }),
  };
}

interface Job {
  readonly source: string;
  readonly values: ExpressionScope;
  readonly meter: Meter;
  readonly limits: Limits;
}

function run(root: Evaluate, { source, values, meter, limits }: Job): unknown {
  return guardStack("EXPRESSION_TOO_COSTLY", () => {
    const value = root({ source, scope: values, meter, slots: [], at: 0 });
    return toJson(value, limits.payloadBytes);
  });
}

function parse(source: string, limits: Limits): ASTNode {
  if (source.length > limits.expressionChars) {
    throw new ExpressionError(
      "EXPRESSION_TOO_COMPLEX",
      `The expression has ${source.length} characters, more than the limit of ${limits.expressionChars}. Compute it in a task.`,
    );
  }
  try {
    return guardStack(
      "EXPRESSION_TOO_COMPLEX",
      () => environmentOf(limits.expressionNodes).parse(source).ast,
    );
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    const reason = error.code === "limit_exceeded" ? "EXPRESSION_TOO_COMPLEX" : "EXPRESSION_SYNTAX";
    throw new ExpressionError(reason, `${error.summary} ${placeOf(source, error.range?.start ?? 0)}`);
  }
}

const environments = new Map<number, Environment>();

function environmentOf(nodes: number): Environment {
  const known = environments.get(nodes);
  if (known !== undefined) return known;
  const limits = { maxAstNodes: nodes, maxDepth: DEPTH_MAX, maxListElements: nodes, maxMapEntries: nodes };
  const environment = new Environment({ limits });
  environments.set(nodes, environment);
  return environment;
}

function copySource(ast: ASTNode, env: Env): CopySource | undefined {
  if (ast.op === "id" && ast.args === "input") return { kind: "input" };
  const taskId = taskOutputOf(ast, env);
  return taskId === undefined ? undefined : { kind: "task", taskId };
}

/** Values and limits can be made such that recursion exhausts the stack; that is an answer, not a defect. */
function guardStack<T>(reason: "EXPRESSION_TOO_COMPLEX" | "EXPRESSION_TOO_COSTLY", body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ExpressionError(
      reason,
      `The expression or a value in it is nested too deeply (${error.message}).`,
    );
  }
}
