import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { canonicalJson } from "./canonical-json.js";
import {
  prepareSchema,
  readSchema,
  SchemaRefusal,
  STEP_KEYWORD,
  type PreparedSchema,
} from "./prepare-schema.js";

/** The verdict on one value. */
export type SchemaVerdict =
  { readonly valid: true } | { readonly valid: false; readonly errors: readonly ErrorObject[] };

/** Checking takes more steps, or goes deeper, than is allowed. */
export class NoVerdictError extends Error {}

/** Some hundred milliseconds at the very most. */
const STEPS_MAX = 500_000;
/** Collecting every error costs memory for each, so it gets less. */
const COLLECT_STEPS_MAX = 20_000;
const ITEMS_PER_STEP = 16;
/** Listing the keys of a large object is slow. */
const KEYS_PER_STEP = 2;
const CHARS_PER_STEP = 64;
const CANONICAL_CHARS_PER_STEP = 8;

/** What an evaluation may still spend; shared with the compiled code of one schema. */
interface Budget {
  left: number;
}

/**
 * What is wrong with a JSON Schema of an input, or undefined. It must be draft 2020-12, complete in
 * itself, and have no `pattern`, because regular expressions of JavaScript can run for hours.
 */
export function schemaProblem(schemaText: string): string | undefined {
  try {
    const schema = prepareSchema(schemaText);
    const meta = metaSchema();
    if (meta.validateSchema(readSchema(schemaText)) !== true) {
      const first = meta.errors?.[0];
      return `The schema is wrong at #${first?.instancePath ?? ""}: it ${first?.message ?? "is not valid"}.`;
    }
    compileWith(schema, false, { left: 0 });
    return undefined;
  } catch (error) {
    if (error instanceof SchemaRefusal) return error.message;
    if (error instanceof RangeError) return "The schema is nested too deeply; move parts of it to $defs.";
    if (error instanceof Error) return `The schema cannot be compiled: ${error.message}.`;
    throw error;
  }
}

/**
 * Compiles a schema in which `schemaProblem` found nothing. The check it returns finds the first
 * error quickly and then collects the others as far as that is cheap; it throws NoVerdictError.
 */
export function compileSchema(schemaText: string): (value: unknown) => SchemaVerdict {
  const schema = prepareSchema(schemaText);
  const budget: Budget = { left: 0 };
  const quick = compileWith(schema, false, budget);
  let thorough: ValidateFunction | undefined;
  return (value) => {
    budget.left = STEPS_MAX;
    if (withinStack(() => quick(value))) return { valid: true };
    const first = quick.errors ?? [];
    thorough ??= compileWith(schema, true, budget);
    budget.left = COLLECT_STEPS_MAX;
    return { valid: false, errors: collect(thorough, value) ?? first };
  };
}

function collect(thorough: ValidateFunction, value: unknown): readonly ErrorObject[] | undefined {
  try {
    withinStack(() => thorough(value));
    return thorough.errors ?? undefined;
  } catch (error) {
    if (error instanceof NoVerdictError) return undefined;
    throw error;
  }
}

/** A schema may refer to itself without end. */
function withinStack(validate: () => unknown): boolean {
  try {
    return validate() === true;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new NoVerdictError("the input or the references of the schema are nested too deeply");
  }
}

let meta: Ajv2020 | undefined;

/** Compiled at first use, because that takes tens of milliseconds. */
function metaSchema(): Ajv2020 {
  meta ??= new Ajv2020({ strict: false, logger: false, validateFormats: false });
  return meta;
}

function compileWith(schema: PreparedSchema, allErrors: boolean, budget: Budget): ValidateFunction {
  const ajv = new Ajv2020({
    allErrors,
    strict: false,
    logger: false,
    meta: false,
    validateSchema: false,
    validateFormats: false,
    // A definition copied to each place that refers to it lets a small schema grow without bound.
    inlineRefs: false,
    ownProperties: true,
    // Optimizing takes three times as long as the rest of compiling, and hardly speeds checks up.
    code: { optimize: false },
  });
  ajv.addKeyword({
    keyword: STEP_KEYWORD,
    // The first of the keywords that can lead further down, so that every visit is paid for first.
    before: "$dynamicAnchor",
    schemaType: "number",
    errors: false,
    validate: (steps: number, value: unknown) => spend(budget, steps + sizeSteps(value)),
  });
  // Ajv compares every item with every other; this sorts.
  ajv.removeKeyword("uniqueItems");
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    validate: (wanted: boolean, items: readonly unknown[]) => !wanted || areUnique(budget, items),
    error: { message: "must not have equal items" },
  });
  return ajv.compile(schema);
}

function spend(budget: Budget, steps: number): boolean {
  budget.left -= steps;
  if (budget.left >= 0) return true;
  throw new NoVerdictError(`checking it takes more than ${STEPS_MAX} steps`);
}

/** Several keywords look at every character, item or member of the value once. */
function sizeSteps(value: unknown): number {
  if (typeof value === "string") return Math.floor(value.length / CHARS_PER_STEP);
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) return Math.floor(value.length / ITEMS_PER_STEP);
  return Math.floor(Object.keys(value).length / KEYS_PER_STEP);
}

function areUnique(budget: Budget, items: readonly unknown[]): boolean {
  const seen = new Set<string>();
  for (const item of items) {
    const text = canonicalText(item);
    spend(budget, 1 + Math.floor(text.length / CANONICAL_CHARS_PER_STEP));
    if (seen.has(text)) return false;
    seen.add(text);
  }
  return true;
}

function canonicalText(item: unknown): string {
  try {
    return canonicalJson(item);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new NoVerdictError(
      "it has half a surrogate pair or a number beyond the range of doubles in a list of unique items",
    );
  }
}
