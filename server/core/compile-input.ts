import { compileExpression, ExpressionError, type CompiledExpression } from "./expression.js";
import type { Limits } from "./limits.js";
import { textProblem } from "./names.js";
import { JSON_ENCODING, parseJson, type Payload } from "./payload.js";
import { payloadProblem } from "./payload-problem.js";
import type { PlanInput } from "./plan.js";
import { textReason } from "./check-task.js";
import type { ProblemList } from "./workflow-problem.js";
import type { InputMapping } from "./workflow-spec.js";

/** What expressions of a workflow are compiled against. */
export interface InputCompiler {
  readonly indexOf: ReadonlyMap<string, number>;
  readonly taskIds: ReadonlySet<string>;
  readonly limits: Limits;
  readonly problems: ProblemList;
}

/**
 * Compiles where a task's input comes from, and notes what is wrong with it; undefined when nothing
 * of it can be used. Whether the tasks that it reads come before is for the caller to check.
 */
export function compileInput(
  mapping: InputMapping,
  path: string,
  compiler: InputCompiler,
): Exclude<PlanInput, { readonly kind: "context" }> | undefined {
  switch (mapping.kind) {
    case "expression": {
      const expression = compileNoted(mapping.expression, `${path}.expression`, compiler);
      if (expression === undefined) return undefined;
      return { kind: "expression", expression, readIndexOf: readIndexOf([expression], compiler) };
    }
    case "fields": {
      const fields = compileFields(mapping.fields, `${path}.fields`, compiler);
      const expressions = fields.map(([, expression]) => expression);
      return { kind: "fields", fields, readIndexOf: readIndexOf(expressions, compiler) };
    }
    case "literal":
      checkLiteral(mapping.payload, `${path}.literal`, compiler);
      return mapping;
  }
}

/** Compiles an expression, or notes why it cannot be. */
export function compileNoted(
  source: string,
  path: string,
  { taskIds, limits, problems }: InputCompiler,
): CompiledExpression | undefined {
  if (source.trim() === "") {
    problems.add(path, "EMPTY", "The expression is empty; write one or leave the field out.");
    return undefined;
  }
  const dirty = textProblem("expression", source, Infinity);
  if (dirty !== undefined) {
    problems.add(path, "INVALID_TEXT", dirty);
    return undefined;
  }
  try {
    return compileExpression(source, { taskIds, limits });
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const isKnown = error.reason === "EXPRESSION_UNKNOWN_NAME" || error.reason === "EXPRESSION_TOO_COMPLEX";
    problems.add(path, isKnown ? error.reason : "EXPRESSION_SYNTAX", error.message);
    return undefined;
  }
}

function compileFields(
  fields: Readonly<Record<string, string>>,
  path: string,
  compiler: InputCompiler,
): ReadonlyArray<readonly [string, CompiledExpression]> {
  const { limits, problems } = compiler;
  // In order of the names, so that a plan from stored bytes gives the same inputs as the first one.
  const names = Object.keys(fields).sort();
  if (names.length > limits.inputFields) {
    const message = `The input has ${names.length} fields, more than the limit of ${limits.inputFields}; use one expression that makes the whole object.`;
    problems.add(path, "TOO_MANY_VALUES", message);
    return [];
  }
  const compiled: Array<readonly [string, CompiledExpression]> = [];
  for (const name of names) {
    const at = `${path}[${JSON.stringify(name.slice(0, limits.nameChars))}]`;
    problems.note(at, textReason(name, limits.nameChars), textProblem("field name", name, limits.nameChars));
    const expression = compileNoted(fields[name] ?? "", at, compiler);
    if (expression !== undefined) compiled.push([name, expression]);
  }
  return compiled;
}

function checkLiteral(payload: Payload, path: string, { limits, problems }: InputCompiler): void {
  const problem = payloadProblem(payload, limits);
  if (problem !== undefined) {
    problems.add(
      path,
      problem.reason === "PAYLOAD_TOO_LARGE" ? "TOO_LONG" : "INVALID_PAYLOAD",
      problem.message,
    );
  } else if (payload.encoding === JSON_ENCODING) {
    try {
      parseJson(payload);
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      problems.add(path, "INVALID_PAYLOAD", `The literal is not valid JSON: ${cause}.`);
    }
  }
}

function readIndexOf(
  expressions: readonly CompiledExpression[],
  { indexOf }: InputCompiler,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { taskIds } of expressions) {
    for (const id of taskIds) {
      const index = indexOf.get(id);
      if (index !== undefined) found.set(id, index);
    }
  }
  return found;
}
