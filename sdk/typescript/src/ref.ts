import { inspect } from "node:util";

import { celSelect } from "./cel.js";
import { HeadraceError } from "./errors.js";

declare const valueOfRef: unique symbol;

/**
 * Stands, while a workflow is defined, for a value that exists only when it runs: the input of the
 * workflow, the output of a task, or a field or element of one (`ref.id`, `ref.items[0]`).
 */
export type Ref<T> = RefBrand<T> & RefFields<NonNullable<T>>;

interface RefBrand<T> {
  /** Exists for the type checker only. */
  readonly [valueOfRef]: T;
}

// Of never, which is left of null and undefined, every conditional type is never: assignable to all inputs.
type RefFields<T> = [T] extends [never] ? unknown : FieldsOf<T>;

type FieldsOf<T> = T extends readonly (infer Item)[]
  ? { readonly [index: number]: Ref<Item> }
  : T extends object
    ? { readonly [Key in keyof T]-?: Ref<T[Key]> }
    : unknown;

/** A value of type T in which any part may be a ref. */
export type Input<T> = Ref<T> | (T extends object ? { readonly [Key in keyof T]: Input<T[Key]> } : T);

/** The value that a ref, or an object or array with refs in it, stands for. */
export type Resolved<T> =
  T extends RefBrand<infer Value>
    ? Value
    : T extends object
      ? { -readonly [Key in keyof T]: Resolved<T[Key]> }
      : T;

/** The output of a handler as JSON has it: a handler that returns nothing has the output null. */
export type OutputValue<Out> = Out extends Awaited<void> ? null : Out;

/** What the SDK knows of a ref. */
export interface RefFacts {
  /** The definition in which it was made. */
  readonly owner: object;
  /** The task whose output it reads; undefined for the input of the workflow. */
  readonly taskId: string | undefined;
  readonly expression: string;
}

const factsOf = new WeakMap<object, RefFacts>();

/** The facts of a ref; undefined for any other value. */
export function refFacts(value: unknown): RefFacts | undefined {
  return typeof value === "function" ? factsOf.get(value) : undefined;
}

/** A new ref. Whatever would need its value explains why it cannot be had: INVALID_WORKFLOW. */
export function makeRef(facts: RefFacts): Ref<unknown> {
  // A function, so that `ref.items.map(...)` meets the trap below instead of "is not a function".
  const target = Object.assign(() => undefined, { [inspect.custom]: () => `Ref(${facts.expression})` });
  const ref = new Proxy(target, {
    get: (_target, key) => select(facts, key),
    apply: () => misuse(facts, "was called", "Methods of values run in handlers: move the call into a task."),
    has: () => misuse(facts, "was used with `in`", "Decide on values inside a handler."),
    ownKeys: () => misuse(facts, "was spread or enumerated", "Name the fields: { id: ref.id }."),
    set: () => misuse(facts, "was assigned to", "Refs are read-only; build a new object: { id: ref.id }."),
  });
  factsOf.set(ref, facts);
  return ref as unknown as Ref<unknown>;
}

function select(facts: RefFacts, key: string | symbol): unknown {
  if (typeof key === "string" && key !== "then" && key !== "toJSON") {
    return makeRef({ ...facts, expression: celSelect(facts.expression, key) });
  }
  if (key === "then") return misuse(facts, "was awaited", "Pass the ref itself to the next task.");
  if (key === "toJSON") return misuse(facts, "was turned into JSON", "Pass the ref itself to a task.");
  if (key === Symbol.toPrimitive) {
    return misuse(
      facts,
      "was used as text or a number",
      "Pass it to a task and compute there; template strings, +, < and == cannot see the value.",
    );
  }
  if (key === Symbol.iterator || key === Symbol.asyncIterator) {
    return misuse(facts, "was iterated", "Take elements by index, or iterate inside a handler.");
  }
  return undefined;
}

function misuse(facts: RefFacts, what: string, remedy: string): never {
  throw new HeadraceError(
    "INVALID_WORKFLOW",
    `The ref ${facts.expression} ${what}, but it has no value while the workflow is defined`,
    { field: facts.expression, remedy },
  );
}
