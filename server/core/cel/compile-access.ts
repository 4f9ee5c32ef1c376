import type { ASTNode } from "@marcbachmann/cel-js";
import { didYouMean } from "../nearest.js";
import { refused, ROOT_NAMES, type Env } from "./env.js";
import { failed, type Evaluate, type Run } from "./run.js";
import { isList, isMap, kindOf, type List } from "./value.js";

const EXECUTION_FIELDS: readonly string[] = ["id", "workflow", "created_at"];

type AccessNode = Extract<ASTNode, { readonly op: "." | "[]" }>;

/** A bare name: a local variable, `input` or `execution`. */
export function compileName(node: Extract<ASTNode, { readonly op: "id" }>, env: Env): Evaluate {
  const name = node.args;
  const slot = env.slots.get(name);
  if (slot !== undefined) return (run) => run.slots[slot];
  if (name === "input") return (run) => run.scope.input;
  if (name === "execution") return (run) => run.scope.execution;
  if (name === "tasks") throw notAnOutput(env, node);
  throw unknownName(env, node, name);
}

/** `a.b` or `a[b]`. What stands under `tasks` is known at compile time, so that no task is read by surprise. */
export function compileAccess(node: AccessNode, env: Env): Evaluate {
  const taskId = taskOutputOf(node, env);
  if (taskId !== undefined) return (run) => readOutput(run, taskId);
  const [leftNode] = node.args;
  const key = constantKey(node);
  if (isRoot(leftNode, "execution") && key !== undefined && !EXECUTION_FIELDS.includes(key)) {
    const message = `An execution has ${EXECUTION_FIELDS.join(", ")}, but no "${key}".`;
    throw refused(env, "EXPRESSION_UNKNOWN_NAME", node, message);
  }
  const left = env.compile(leftNode, env);
  const right: Evaluate = node.op === "." ? () => key : env.compile(node.args[1], env);
  return (run) => {
    run.meter.charge(1);
    const container = left(run);
    const member = right(run);
    run.at = node.start;
    return access(run, container, member);
  };
}

/** `has(a.b)`: whether the field is there. The fields of null are not, and neither is an output that was not given. */
export function compileHas(node: ASTNode, argument: ASTNode | undefined, env: Env): Evaluate {
  if (argument?.op !== ".") {
    const message = 'has() takes a field, as in has(input.name); for other keys write "my-key" in input.';
    throw refused(env, "EXPRESSION_SYNTAX", node, message);
  }
  const taskId = taskOutputOf(argument, env);
  if (taskId !== undefined) return (run) => run.scope.outputOf(taskId) !== undefined;
  const [container, key] = argument.args;
  const left = env.compile(container, env);
  return (run) => {
    run.meter.charge(1);
    const value = left(run);
    run.at = node.start;
    if (isMap(value)) return Object.hasOwn(value, key);
    if (value === null) return false;
    throw failed(run, `has() looks into maps, not into ${kindOf(value)}.`);
  };
}

/** The task whose output the node names as `tasks.<id>.output`; undefined for any other node. */
export function taskOutputOf(node: ASTNode, env: Env): string | undefined {
  if (node.op !== "." && node.op !== "[]") return undefined;
  const [member] = node.args;
  if (isRoot(node, "tasks") || isRoot(member, "tasks")) throw notAnOutput(env, node);
  if ((member.op !== "." && member.op !== "[]") || !isRoot(member.args[0], "tasks")) return undefined;
  const taskId = constantKey(member);
  if (taskId === undefined || constantKey(node) !== "output") throw notAnOutput(env, node);
  if (!env.knownTaskIds.has(taskId)) throw unknownTask(env, node, taskId);
  env.readTaskIds.add(taskId);
  return taskId;
}

function isRoot(node: ASTNode, name: string): boolean {
  return node.op === "id" && node.args === name;
}

function constantKey(node: AccessNode): string | undefined {
  if (node.op === ".") return node.args[1];
  const index = node.args[1];
  return index.op === "value" && typeof index.args === "string" ? index.args : undefined;
}

/** A task that gave nothing reads as null, so that whatever a task gives can be passed on. */
function readOutput(run: Run, taskId: string): unknown {
  run.meter.charge(1);
  return run.scope.outputOf(taskId) ?? null;
}

function access(run: Run, container: unknown, member: unknown): unknown {
  if (isList(container)) return itemAt(run, container, member);
  if (!isMap(container))
    throw failed(run, `A ${kindOf(container)} has no fields (looking for ${shown(member)}).`);
  if (typeof member !== "string") throw failed(run, `The keys of a map are strings, not ${kindOf(member)}.`);
  if (Object.hasOwn(container, member)) return container[member];
  throw failed(run, `There is no field ${shown(member)}; test with has() when it may be absent.`);
}

function itemAt(run: Run, list: List, member: unknown): unknown {
  const index = typeof member === "bigint" ? Number(member) : member;
  if (typeof index !== "number" || !Number.isInteger(index)) {
    throw failed(run, `The index of a list is a whole number, not ${shown(member)}.`);
  }
  if (index >= 0 && index < list.length) return list[index];
  throw failed(run, `Index ${index} is outside the list, which has ${list.length} items.`);
}

function shown(member: unknown): string {
  if (typeof member === "string") return JSON.stringify(member.slice(0, 100));
  return typeof member === "number" || typeof member === "bigint" ? String(member) : kindOf(member);
}

function unknownName(env: Env, node: ASTNode, name: string): Error {
  const known = [...ROOT_NAMES, ...env.slots.keys()];
  const hint = didYouMean(name, known) || ` Known are ${known.join(", ")}.`;
  return refused(env, "EXPRESSION_UNKNOWN_NAME", node, `There is no variable "${name}".${hint}`);
}

function notAnOutput(env: Env, node: ASTNode): Error {
  const message =
    'Of tasks only outputs can be read: write tasks.<id>.output, or tasks["my-id"].output for an id with "-".';
  return refused(env, "EXPRESSION_UNKNOWN_NAME", node, message);
}

function unknownTask(env: Env, node: ASTNode, taskId: string): Error {
  const hint = didYouMean(taskId, env.knownTaskIds);
  return refused(env, "EXPRESSION_UNKNOWN_NAME", node, `There is no task "${taskId}".${hint}`);
}
