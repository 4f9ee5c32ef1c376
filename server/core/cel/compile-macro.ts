import type { ASTNode } from "@marcbachmann/cel-js";
import { ExpressionError } from "../expression-error.js";
import { withLocal, type Env } from "./env.js";
import { keysOf } from "./operators.js";
import { failed, type Evaluate, type Run } from "./run.js";
import { isList, isMap, kindOf, type List } from "./value.js";

/** Capturing an error costs far more than an ordinary step. */
const CAUGHT_ERROR_STEPS = 50;

type MethodCall = Extract<ASTNode, { readonly op: "rcall" }>;

/** A loop over the items of a list or the keys of a map. */
interface Loop {
  readonly items: Evaluate;
  readonly slot: number;
  /** The predicate of a filter or a quantifier; for `map`, the optional filter. */
  readonly test: Evaluate | undefined;
  readonly transform: Evaluate | undefined;
  readonly at: number;
}

/** Compiles `x.map(v, e)`, `x.filter(v, e)`, `x.all(v, e)` … and `cel.bind(v, e, e)`; undefined for other calls. */
export function compileMacro(node: MethodCall, env: Env): Evaluate | undefined {
  const [name, receiver, args] = node.args;
  const [variable, first, second] = args;
  if (variable === undefined || first === undefined) return undefined;
  if (name === "bind" && receiver.op === "id" && receiver.args === "cel") return compileBind(args, env);
  if (name === "map" && args.length === 3) return collect(compileLoop(node, env, first, second));
  if (args.length !== 2) return undefined;
  switch (name) {
    case "map":
      return collect(compileLoop(node, env, undefined, first));
    case "filter":
      return collect(compileLoop(node, env, first, undefined));
    case "exists_one":
      return existsOne(compileLoop(node, env, first, undefined));
    case "all":
      return quantifier(compileLoop(node, env, first, undefined), false);
    case "exists":
      return quantifier(compileLoop(node, env, first, undefined), true);
    default:
      return undefined;
  }
}

function compileBind(args: readonly ASTNode[], env: Env): Evaluate | undefined {
  const [variable, valueNode, bodyNode] = args;
  if (variable === undefined || valueNode === undefined || bodyNode === undefined) return undefined;
  const value = env.compile(valueNode, env);
  const { inner, slot } = withLocal(env, variable);
  const body = env.compile(bodyNode, inner);
  return (run) => {
    run.meter.charge(1);
    run.slots[slot] = value(run);
    return body(run);
  };
}

function compileLoop(
  node: MethodCall,
  env: Env,
  test: ASTNode | undefined,
  transform: ASTNode | undefined,
): Loop {
  const [, receiver, [variable]] = node.args;
  const { inner, slot } = withLocal(env, variable ?? node);
  return {
    items: env.compile(receiver, env),
    slot,
    test: test && env.compile(test, inner),
    transform: transform && env.compile(transform, inner),
    at: node.start,
  };
}

function collect({ items, slot, test, transform, at }: Loop): Evaluate {
  return (run) => {
    const result: unknown[] = [];
    for (const item of itemsOf(run, items(run), at)) {
      run.meter.charge(1);
      run.slots[slot] = item;
      if (test !== undefined && !demandBool(run, test(run), at)) continue;
      result.push(transform === undefined ? item : transform(run));
    }
    return result;
  };
}

function existsOne({ items, slot, test, at }: Loop): Evaluate {
  return (run) => {
    let found = 0;
    for (const item of itemsOf(run, items(run), at)) {
      run.meter.charge(1);
      run.slots[slot] = item;
      if (demandBool(run, test?.(run), at)) found++;
    }
    return found === 1;
  };
}

/** `exists` is decided by a true, `all` by a false, even when other items fail. */
function quantifier({ items, slot, test, at }: Loop, decisive: boolean): Evaluate {
  return (run) => {
    let failure: ExpressionError | undefined;
    for (const item of itemsOf(run, items(run), at)) {
      run.meter.charge(1);
      run.slots[slot] = item;
      const answer = attempt(run, () => demandBool(run, test?.(run), at));
      if (answer === decisive) return decisive;
      if (answer instanceof ExpressionError) failure ??= answer;
    }
    if (failure !== undefined) throw failure;
    return !decisive;
  };
}

/** The value, or the error of a failed operation. An exhausted budget is thrown: nothing may go on after it. */
export function attempt(run: Run, evaluate: () => boolean): boolean | ExpressionError {
  try {
    return evaluate();
  } catch (error) {
    if (!(error instanceof ExpressionError) || error.reason !== "EXPRESSION_FAILED") throw error;
    run.meter.charge(CAUGHT_ERROR_STEPS);
    return error;
  }
}

/** The value as a condition. */
export function demandBool(run: Run, value: unknown, at: number): boolean {
  if (typeof value === "boolean") return value;
  run.at = at;
  throw failed(run, `Expected a condition, true or false, not ${kindOf(value)}.`);
}

function itemsOf(run: Run, value: unknown, at: number): List {
  run.meter.charge(1);
  if (isList(value)) return value;
  if (isMap(value)) return keysOf(run, value);
  run.at = at;
  throw failed(run, `Only lists and maps can be looped over, not ${kindOf(value)}.`);
}
