import type { ErrorObject } from "ajv/dist/2020.js";
import { HeadraceError, type Violation } from "./errors.js";
import { compileSchema, NoVerdictError, type SchemaVerdict } from "./input-schema.js";
import { JSON_ENCODING, parseJson, type Payload } from "./payload.js";
import type { Plan } from "./plan.js";

type Check = (value: unknown) => SchemaVerdict;

const VIOLATIONS_MAX = 100;

const checks = new WeakMap<Plan, Check>();

/**
 * Checks the input of an execution against the input schema of its workflow, if it has one. Throws
 * HeadraceError INVALID_INPUT with one violation for each place that is wrong, at most a hundred.
 */
export function checkInput(plan: Plan, payload: Payload): void {
  if (plan.inputSchema === undefined) return;
  const value = readInput(payload);
  let verdict: SchemaVerdict;
  try {
    verdict = checkOf(plan, plan.inputSchema)(value);
  } catch (error) {
    if (!(error instanceof NoVerdictError)) throw error;
    throw invalidInput([
      { field: "input", reason: "TOO_COSTLY", message: `The input cannot be checked: ${error.message}` },
    ]);
  }
  if (!verdict.valid) throw invalidInput(verdict.errors.slice(0, VIOLATIONS_MAX).map(violation));
}

/** Compiled at the first start of the plan on this replica. */
function checkOf(plan: Plan, schemaText: string): Check {
  const known = checks.get(plan);
  if (known !== undefined) return known;
  const check = compileSchema(schemaText);
  checks.set(plan, check);
  return check;
}

function readInput(payload: Payload): unknown {
  if (payload.encoding !== JSON_ENCODING) {
    const message = `The input schema needs a JSON input, but the encoding is ${JSON.stringify(payload.encoding)}`;
    throw invalidInput([{ field: "input.encoding", reason: "NOT_JSON", message }]);
  }
  try {
    return parseJson(payload);
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw invalidInput([
      { field: "input", reason: "NOT_JSON", message: `The input is not valid JSON: ${cause}` },
    ]);
  }
}

function violation(error: ErrorObject): Violation {
  const { keyword, message = "is not valid", params } = error;
  const extra: unknown = params["additionalProperty"] ?? params["unevaluatedProperty"];
  const named = typeof extra === "string" ? ` (${JSON.stringify(extra)})` : "";
  const field = fieldOf(error.instancePath);
  const reason = keyword
    .replace(/[A-Z]/g, (letter) => `_${letter}`)
    .toUpperCase()
    .replace(/\W/g, "");
  return { field, reason, message: `${field} ${message}${named}` };
}

/** "/items/0/unit-price" → `input.items[0]["unit-price"]`. */
function fieldOf(pointer: string): string {
  const tokens = pointer.split("/").slice(1);
  const steps = tokens.map((token) => {
    const key = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (/^\d+$/.test(key)) return `[${key}]`;
    return /^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
  });
  return `input${steps.join("")}`;
}

function invalidInput(violations: readonly Violation[]): HeadraceError {
  const [first] = violations;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
  return new HeadraceError("INVALID_INPUT", `${first?.message ?? "The input is not valid"}${more}.`, {
    field: first?.field ?? "input",
    violations,
  });
}
