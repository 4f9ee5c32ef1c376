import type { ASTNode } from "@marcbachmann/cel-js";
import { didYouMean } from "../nearest.js";
import { setOwn } from "../set-own.js";
import type { CelFunction } from "./arguments.js";
import { compileAccess, compileHas, compileName } from "./compile-access.js";
import { attempt, compileMacro, demandBool } from "./compile-macro.js";
import { refused, type Env } from "./env.js";
import { FUNCTIONS, METHODS } from "./functions.js";
import { int64, OPERATORS, type Operator } from "./operators.js";
import { failed, type Evaluate } from "./run.js";
import { kindOf } from "./value.js";

const MACROS: readonly string[] = ["map", "filter", "all", "exists", "exists_one"];

type Node<Op extends ASTNode["op"]> = Extract<ASTNode, { readonly op: Op }>;

/** Compiles a node and what is below it to a closure. Throws ExpressionError for what does not exist. */
export function compileNode(node: ASTNode, env: Env): Evaluate {
  switch (node.op) {
    case "value":
      return compileLiteral(node, env);
    case "id":
      return compileName(node, env);
    case ".":
    case "[]":
      return compileAccess(node, env);
    case "call":
      return compileCall(node, env);
    case "rcall":
      return compileMacro(node, env) ?? compileMethod(node, env);
    case "list":
      return compileList(node, env);
    case "map":
      return compileMap(node, env);
    case "?:":
      return compileChoice(node, env);
    case "&&":
    case "||":
      return compileLogical(node, env);
    case "!_":
    case "-_":
      return compileUnary(node, env);
    case ".?":
    case "[?]":
      throw refused(env, "EXPRESSION_SYNTAX", node, "Optional access is not supported; test with has().");
    default:
      return compileBinary(node.op, node.args, node.start, env);
  }
}

function compileLiteral(node: Node<"value">, env: Env): Evaluate {
  const value: unknown = node.args;
  if (typeof value === "bigint" && value > 2n ** 63n - 1n) {
    throw refused(env, "EXPRESSION_SYNTAX", node, `The int ${value} does not fit in 64 bits.`);
  }
  const isUnsigned = typeof value === "object" && value !== null && !(value instanceof Uint8Array);
  if (isUnsigned)
    throw refused(env, "EXPRESSION_SYNTAX", node, "Unsigned ints are not supported; leave the u out.");
  return () => value;
}

function compileCall(node: Node<"call">, env: Env): Evaluate {
  const [name, args] = node.args;
  if (name === "has" && args.length === 1) return compileHas(node, args[0], env);
  const found = FUNCTIONS.get(name);
  if (found === undefined) {
    const hint = METHODS.has(name)
      ? ` It is a method: x.${name}(…).`
      : didYouMean(name, ["has", ...FUNCTIONS.keys()]);
    throw refused(env, "EXPRESSION_UNKNOWN_NAME", node, `There is no function "${name}".${hint}`);
  }
  return compileApply(node, found, name, { args, env });
}

function compileMethod(node: Node<"rcall">, env: Env): Evaluate {
  const [name, receiver, args] = node.args;
  const found = METHODS.get(name);
  if (found !== undefined) return compileApply(node, found, name, { args: [receiver, ...args], env });
  const hint =
    name === "matches"
      ? " Regular expressions are not offered, because their cost cannot be bounded; use startsWith, endsWith, contains or split."
      : didYouMean(name, [...MACROS, ...METHODS.keys()]);
  throw refused(env, "EXPRESSION_UNKNOWN_NAME", node, `There is no method "${name}".${hint}`);
}

function compileApply(
  node: Node<"call" | "rcall">,
  found: CelFunction,
  name: string,
  { args, env }: { readonly args: readonly ASTNode[]; readonly env: Env },
): Evaluate {
  const [min, max] = found.arity;
  if (args.length < min || args.length > max) {
    const implied = node.op === "rcall" ? 1 : 0;
    const wanted = min === max ? String(min - implied) : `${min - implied} to ${max - implied}`;
    const message = `${name}() takes ${wanted} arguments, not ${args.length - implied}.`;
    throw refused(env, "EXPRESSION_SYNTAX", node, message);
  }
  const values = args.map((arg) => env.compile(arg, env));
  return (run) => {
    run.meter.charge(1);
    const operands = values.map((value) => value(run));
    run.at = node.start;
    return found.call(run, operands);
  };
}

function compileList(node: Node<"list">, env: Env): Evaluate {
  const items = node.args.map((item) => env.compile(item, env));
  return (run) => {
    run.meter.charge(1 + items.length);
    return items.map((item) => item(run));
  };
}

function compileMap(node: Node<"map">, env: Env): Evaluate {
  const entries = node.args.map(([key, value]) => [env.compile(key, env), env.compile(value, env)] as const);
  return (run) => {
    run.meter.charge(1 + entries.length);
    const result: Record<string, unknown> = {};
    for (const [keyOf, valueOf] of entries) {
      const key = keyOf(run);
      const value = valueOf(run);
      run.at = node.start;
      if (typeof key !== "string")
        throw failed(run, `The keys of a map are strings, as in JSON, not ${kindOf(key)}.`);
      if (Object.hasOwn(result, key)) throw failed(run, `The key ${JSON.stringify(key)} is given twice.`);
      setOwn(result, key, value);
    }
    return result;
  };
}

function compileChoice(node: Node<"?:">, env: Env): Evaluate {
  const [condition, then, otherwise] = node.args.map((part) => env.compile(part, env));
  return (run) => {
    run.meter.charge(1);
    return demandBool(run, condition?.(run), node.start) ? then?.(run) : otherwise?.(run);
  };
}

/** One side that decides is enough, even when the other side fails: CEL's rule for && and ||. */
function compileLogical(node: Node<"&&" | "||">, env: Env): Evaluate {
  const decisive = node.op === "||";
  const [left, right] = node.args.map((side) => env.compile(side, env));
  return (run) => {
    run.meter.charge(1);
    const first = attempt(run, () => demandBool(run, left?.(run), node.start));
    if (first === decisive) return decisive;
    const second = demandBool(run, right?.(run), node.start);
    if (second === decisive || typeof first === "boolean") return second;
    throw first;
  };
}

function compileUnary(node: Node<"!_" | "-_">, env: Env): Evaluate {
  const operand = env.compile(node.args, env);
  if (node.op === "!_") {
    return (run) => {
      run.meter.charge(1);
      return !demandBool(run, operand(run), node.start);
    };
  }
  return (run) => {
    run.meter.charge(1);
    const value = operand(run);
    run.at = node.start;
    if (typeof value === "bigint") return int64(run, -value);
    if (typeof value === "number") return -value;
    throw failed(run, `"-" does not work on ${kindOf(value)}.`);
  };
}

function compileBinary(op: Operator, sides: readonly ASTNode[], start: number, env: Env): Evaluate {
  const operate = OPERATORS[op];
  const [left, right] = sides.map((side) => env.compile(side, env));
  return (run) => {
    run.meter.charge(1);
    const first = left?.(run);
    const second = right?.(run);
    run.at = start;
    return operate(run, first, second);
  };
}
