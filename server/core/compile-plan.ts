import { checkDuration } from "./check-number.js";
import { findNonAncestors, type Reference } from "./check-ancestors.js";
import { checkGraph, invert, type Graph } from "./check-graph.js";
import { labelProblems } from "./check-labels.js";
import { checkTask, checkText } from "./check-task.js";
import { compileInput, compileNoted, type InputCompiler } from "./compile-input.js";
import { encodeSpec } from "./encode-spec.js";
import type { CompiledExpression } from "./expression.js";
import { schemaProblem } from "./input-schema.js";
import type { Limits } from "./limits.js";
import { shown, workflowNameProblem } from "./names.js";
import { DEFAULT_QUEUE, planRetry } from "./plan-defaults.js";
import type { Plan, PlanInput, PlanTask } from "./plan.js";
import { versionOfBytes } from "./version.js";
import { ProblemList, type WorkflowProblem } from "./workflow-problem.js";
import type { TaskSpec, WorkflowSpec } from "./workflow-spec.js";

export type CompiledPlan = { readonly plan: Plan } | { readonly problems: readonly WorkflowProblem[] };

/** Rough bytes of memory for what a plan consists of, as measured on V8. */
const TASK_BYTES = 900;
const EDGE_BYTES = 32;

/**
 * Validates a workflow and compiles it for the scheduler, with every default filled in; or says all
 * that is wrong with it, each problem with its place. Linear in tasks and dependencies.
 */
export function compilePlan(spec: WorkflowSpec, limits: Limits): CompiledPlan {
  const problems = new ProblemList();
  checkWorkflow(spec, limits, problems);
  if (spec.tasks.length > limits.tasksPerWorkflow) return { problems: problems.toArray() };
  spec.tasks.forEach((task, index) => {
    checkTask(task, `tasks[${index}]`, limits, problems);
  });
  const graph = checkGraph(spec.tasks, limits, problems);
  const compiler = { indexOf: graph.indexOf, taskIds: new Set(graph.indexOf.keys()), limits, problems };
  const inputs = spec.tasks.map((task, index) => planInput(task, index, compiler));
  const output = spec.output === undefined ? undefined : compileNoted(spec.output, "output", compiler);
  checkReads(spec.tasks, graph, inputs, problems);
  const bytes = problems.count === 0 ? encodeSpec(spec) : undefined;
  if (bytes !== undefined) checkSize(bytes, limits, problems);
  if (bytes === undefined || problems.count > 0) return { problems: problems.toArray() };
  return { plan: assemble(spec, bytes, graph, { inputs, output }) };
}

function checkWorkflow(spec: WorkflowSpec, limits: Limits, problems: ProblemList): void {
  problems.note("name", "INVALID_NAME", workflowNameProblem(spec.name, limits));
  checkText(problems, "description", spec.description, limits.descriptionChars);
  checkDuration(problems, "deadline", spec.deadlineMs);
  for (const { path, kind, message } of labelProblems("labels", spec.labels, limits)) {
    problems.add(path, kind === "count" ? "TOO_MANY_LABELS" : "INVALID_TEXT", message);
  }
  checkSchema(spec.inputSchema, limits, problems);
  const count = spec.tasks.length;
  if (count === 0) problems.add("tasks", "EMPTY", "The workflow has no tasks; add at least one.");
  if (count > limits.tasksPerWorkflow) {
    const message = `The workflow has ${count} tasks, more than the limit of ${limits.tasksPerWorkflow}; split it into several workflows.`;
    problems.add("tasks", "TOO_MANY_TASKS", message);
  }
}

function checkSchema(schema: string | undefined, limits: Limits, problems: ProblemList): void {
  if (schema === undefined) return;
  if (schema.length > limits.inputSchemaChars) {
    const message = `The input schema has ${schema.length} characters, more than the limit of ${limits.inputSchemaChars}; simplify it.`;
    problems.add("input_schema", "TOO_LONG", message);
  } else {
    problems.note("input_schema", "INVALID_SCHEMA", schemaProblem(schema));
  }
}

function checkSize(bytes: Uint8Array, limits: Limits, problems: ProblemList): void {
  if (bytes.length <= limits.specBytes) return;
  const message = `The workflow has ${bytes.length} bytes as JSON, more than the limit of ${limits.specBytes}; shorten descriptions and literals, or split it.`;
  problems.add("", "TOO_LONG", message);
}

function planInput(task: TaskSpec, index: number, compiler: InputCompiler): PlanInput {
  const context: PlanInput = { kind: "context", dependencyIds: task.dependsOn ?? [] };
  if (task.input === undefined) return context;
  return compileInput(task.input, `tasks[${index}].input`, compiler) ?? context;
}

/** Expressions may read only what has surely ended: the tasks that come before, directly or not. */
function checkReads(
  tasks: readonly TaskSpec[],
  graph: Graph,
  inputs: readonly PlanInput[],
  problems: ProblemList,
): void {
  if (graph.order.length < tasks.length) return;
  const references: Reference[] = [];
  inputs.forEach((input, reader) => {
    if (!("readIndexOf" in input)) return;
    for (const read of input.readIndexOf.values()) references.push({ reader, read });
  });
  for (const { reader, read } of findNonAncestors(graph, references)) {
    const id = shown(tasks[read]?.id ?? "");
    const message =
      reader === read
        ? `The task reads its own output ${id}, which does not exist before it has run; read another task.`
        : `The input reads the output of ${id}, which need not have ended by then; add ${id} to depends_on.`;
    problems.add(`tasks[${reader}].input`, "NOT_A_DEPENDENCY", message);
  }
}

interface Compiled {
  readonly inputs: readonly PlanInput[];
  readonly output: CompiledExpression | undefined;
}

function assemble(spec: WorkflowSpec, bytes: Uint8Array, graph: Graph, { inputs, output }: Compiled): Plan {
  const leaves = indexesOfEmpty(graph.successors);
  const reads = inputs.map((input, index) => readsOf(input, graph.dependsOn[index] ?? []));
  const readers = invert(reads);
  const outputReads = new Set(output === undefined ? leaves : indexesOf(output.taskIds, graph));
  const tasks = spec.tasks.map((task, index): PlanTask => ({
    index,
    id: task.id,
    handler: task.handler ?? task.id,
    queue: task.queue ?? DEFAULT_QUEUE,
    priority: task.priority ?? 0,
    dependsOn: graph.dependsOn[index] ?? [],
    successors: graph.successors[index] ?? [],
    reads: reads[index] ?? [],
    readers: readers[index] ?? [],
    readByOutput: outputReads.has(index),
    input: inputs[index] ?? { kind: "context", dependencyIds: [] },
    retry: planRetry(task.retry),
    timeouts: task.timeouts ?? {},
  }));
  return {
    workflow: spec.name,
    version: versionOfBytes(bytes),
    tasks,
    roots: indexesOfEmpty(graph.dependsOn),
    leaves,
    ...(output === undefined ? {} : { output }),
    ...(spec.deadlineMs === undefined ? {} : { deadlineMs: spec.deadlineMs }),
    ...(spec.inputSchema === undefined ? {} : { inputSchema: spec.inputSchema }),
    labels: spec.labels ?? {},
    indexOf: graph.indexOf,
    sizeBytes: sizeOf(bytes, graph, reads),
  };
}

function readsOf(input: PlanInput, dependsOn: readonly number[]): readonly number[] {
  if (input.kind === "context") return dependsOn;
  return input.kind === "literal" ? [] : [...input.readIndexOf.values()];
}

function indexesOf(ids: readonly string[], graph: Graph): readonly number[] {
  return ids.map((id) => graph.indexOf.get(id)).filter((index) => index !== undefined);
}

function indexesOfEmpty(edges: ReadonlyArray<readonly number[]>): readonly number[] {
  return edges.flatMap((ends, index) => (ends.length === 0 ? [index] : []));
}

/** Compiled expressions take several times their text, so all text counts four times. */
function sizeOf(bytes: Uint8Array, graph: Graph, reads: ReadonlyArray<readonly number[]>): number {
  let edges = 0;
  for (const dependencies of graph.dependsOn) edges += dependencies.length;
  for (const read of reads) edges += read.length;
  return bytes.length * 4 + graph.dependsOn.length * TASK_BYTES + edges * EDGE_BYTES;
}
