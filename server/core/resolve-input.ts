import type { Meter } from "./cel/meter.js";
import { ExpressionError, type CompiledExpression, type ExpressionScope } from "./expression.js";
import { InputError } from "./input-error.js";
import { givesNothing, jsonText, mergeContext, type ContextPart } from "./merge-context.js";
import type { OpeningBudget } from "./opening-budget.js";
import type { Payload } from "./payload.js";
import { isEmptyPayload, PayloadReader } from "./payload-reader.js";
import type { Plan, PlanInput, PlanTask } from "./plan.js";

export { InputError } from "./input-error.js";

/** What inputs and the workflow output are made from. */
export interface InputSource {
  readonly executionId: string;
  readonly workflow: string;
  readonly createdAtMs: number;
  readonly input: Payload;
  readonly payloadBytesMax: number;
  /** Pays for what is read and computed. */
  readonly budget: OpeningBudget;
  /** Output of a task by its plan index; undefined when it has none. */
  readonly outputOf: (index: number) => Payload | undefined;
}

type MappedInput = Extract<PlanInput, { readonly readIndexOf: unknown }>;
type ReadIndex = ReadonlyMap<string, number>;

/** What tasks have in common is read and merged once for each source, however many they are. */
interface Known {
  readonly reader: PayloadReader;
  /** By the plan indexes of the dependencies. */
  readonly contexts: Map<string, Payload>;
}

const known = new WeakMap<InputSource, Known>();

/**
 * The input of a task. By default that is its context: the workflow input merged in declared order
 * with the outputs of its dependencies, objects key by key, later wins. A dependency without output
 * adds nothing, an output that is not an object stands under the id of its task, a workflow input
 * that is not an object under "input", and null adds nothing. A task without dependencies gets the
 * workflow input as it is. Throws InputError.
 */
export function resolveInput(task: PlanTask, source: InputSource): Payload {
  const { input } = task;
  switch (input.kind) {
    case "literal":
      return input.payload;
    case "context":
      return task.dependsOn.length === 0 ? source.input : contextOf(task, input.dependencyIds, source);
    case "expression":
    case "fields":
      return asInputError(() => mapped(input, source));
  }
}

/**
 * The output of an execution: the value of the workflow's output expression, or an object from the id
 * of each task without successor to its output, where it has one. Throws InputError.
 */
export function resolveOutput(plan: Plan, source: InputSource): Payload {
  const { output, indexOf } = plan;
  if (output !== undefined) return asInputError(() => evaluated(output, indexOf, source));
  const { reader } = knownOf(source);
  const members: string[] = [];
  for (const leaf of plan.leaves) {
    const payload = source.outputOf(leaf);
    const id = plan.tasks[leaf]?.id ?? "";
    if (payload === undefined || isEmptyPayload(payload)) continue;
    members.push(`${JSON.stringify(id)}:${reader.text(payload, outputName(id)).trim()}`);
  }
  return jsonText(`{${members.join(",")}}`, source.payloadBytesMax);
}

function contextOf(task: PlanTask, dependencyIds: readonly string[], source: InputSource): Payload {
  const { contexts } = knownOf(source);
  const key = task.dependsOn.join();
  const context = contexts.get(key) ?? mergedContext(task, dependencyIds, source);
  contexts.set(key, context);
  return context;
}

function mergedContext(task: PlanTask, dependencyIds: readonly string[], source: InputSource): Payload {
  const parts: ContextPart[] = [];
  if (!givesNothing(source.input))
    parts.push({ payload: source.input, key: "input", what: "The workflow input" });
  task.dependsOn.forEach((dependency, at) => {
    const payload = source.outputOf(dependency);
    const key = dependencyIds[at] ?? "";
    if (payload === undefined || isEmptyPayload(payload)) return;
    parts.push({ payload, key, what: outputName(key) });
  });
  for (const { payload } of parts) source.budget.spendReading(payload.data.length);
  return mergeContext(parts, { reader: knownOf(source).reader, payloadBytesMax: source.payloadBytesMax });
}

function mapped(input: MappedInput, source: InputSource): Payload {
  if (input.kind === "expression") return evaluated(input.expression, input.readIndexOf, source);
  const [first] = input.fields;
  if (first === undefined) return jsonText("{}", source.payloadBytesMax);
  const text = metered(first[1], source, (meter) => fieldsText(input, meter, source));
  return jsonText(text, source.payloadBytesMax);
}

type Fields = Extract<PlanInput, { readonly kind: "fields" }>;

function fieldsText({ fields, readIndexOf }: Fields, meter: Meter, source: InputSource): string {
  const scope = scopeOf(readIndexOf, source);
  let text = "";
  for (const [name, expression] of fields) {
    const value = inField(name, () => expression.evaluate(scope, meter));
    text += `${text === "" ? "{" : ","}${JSON.stringify(name)}:${JSON.stringify(value)}`;
    // Each value is bounded, but a thousand of them are not.
    if (text.length > source.payloadBytesMax) break;
  }
  return `${text}}`;
}

/** The transaction pays for the steps of an evaluation, also when it fails. */
function metered<Value>(
  expression: CompiledExpression,
  source: InputSource,
  evaluate: (meter: Meter) => Value,
): Value {
  const meter = expression.newMeter();
  try {
    return evaluate(meter);
  } finally {
    source.budget.spendSteps(meter.spent);
  }
}

function evaluated(expression: CompiledExpression, readIndexOf: ReadIndex, source: InputSource): Payload {
  const copy = copied(expression, readIndexOf, source);
  if (copy !== undefined) return copy;
  const scope = scopeOf(readIndexOf, source);
  const value = metered(expression, source, (meter) => expression.evaluate(scope, meter));
  return jsonText(JSON.stringify(value), source.payloadBytesMax);
}

/** An expression that only names a payload hands on its bytes, whatever their encoding. */
function copied(
  { copyOf }: CompiledExpression,
  readIndexOf: ReadIndex,
  source: InputSource,
): Payload | undefined {
  if (copyOf === undefined) return undefined;
  return copyOf.kind === "input" ? source.input : outputById(copyOf.taskId, readIndexOf, source);
}

function scopeOf(readIndexOf: ReadIndex, source: InputSource): ExpressionScope {
  const { reader } = knownOf(source);
  return {
    get input() {
      return reader.value(source.input, "The workflow input");
    },
    outputOf(taskId) {
      const payload = outputById(taskId, readIndexOf, source);
      return payload && reader.value(payload, outputName(taskId));
    },
    execution: {
      id: source.executionId,
      workflow: source.workflow,
      created_at: new Date(source.createdAtMs).toISOString(),
    },
  };
}

function outputById(taskId: string, readIndexOf: ReadIndex, source: InputSource): Payload | undefined {
  const index = readIndexOf.get(taskId);
  const payload = index === undefined ? undefined : source.outputOf(index);
  return payload === undefined || isEmptyPayload(payload) ? undefined : payload;
}

function knownOf(source: InputSource): Known {
  const found = known.get(source) ?? { reader: new PayloadReader(), contexts: new Map<string, Payload>() };
  known.set(source, found);
  return found;
}

function outputName(taskId: string): string {
  return `The output of task ${JSON.stringify(taskId)}`;
}

function inField(name: string, evaluate: () => unknown): unknown {
  try {
    return evaluate();
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    throw new ExpressionError(error.reason, `Field ${JSON.stringify(name)}: ${error.message}`);
  }
}

function asInputError(make: () => Payload): Payload {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const isTooLarge = error.reason === "EXPRESSION_RESULT_TOO_LARGE";
    throw new InputError(isTooLarge ? "PAYLOAD_TOO_LARGE" : "EXPRESSION_FAILED", error.message);
  }
}
