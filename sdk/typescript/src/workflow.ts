import type { JsonObject } from "@bufbuild/protobuf";
import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import { HeadraceError } from "./errors.js";
import type { WorkflowSpec } from "./gen/headrace/v1/workflow_pb.js";
import { WorkflowSpecSchema } from "./gen/headrace/v1/workflow_pb.js";
import { refuseUnknownOptions, requireLabels, shown } from "./options.js";
import type { Ref, Resolved } from "./ref.js";
import { refFacts } from "./ref.js";
import type { TaskDefinition } from "./task-options.js";
import { buildWith, WorkflowBuilder } from "./workflow-builder.js";

/** What a workflow has besides its graph. */
export interface WorkflowOptions {
  readonly description?: string;
  /** JSON Schema (2020-12) that the input of an execution must satisfy. */
  readonly inputSchema?: Readonly<Record<string, unknown>> | boolean;
  /** From the start of an execution to its end. */
  readonly deadline?: DurationLike;
  /** Given to each execution that does not override them. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** A defined workflow whose types are not known. */
export interface WorkflowDefinition {
  readonly name: string;
  /** The contract's message, as it goes to the server. */
  readonly spec: WorkflowSpec;
  /** The tasks that it uses, each once. */
  readonly tasks: readonly TaskDefinition[];
  /** Equal for equal content. */
  readonly contentKey: string;
  /** The spec as JSON, for JSON.stringify. */
  toJSON(): JsonObject;
}

/** A defined workflow. It is stored by `put`, `start`, `run` or `serve`. */
export interface Workflow<In, Out> extends WorkflowDefinition {
  /** Exists for the type checker only. */
  readonly types?: { readonly input: In; readonly output: Out };
}

/** The output that follows from what the function of a workflow returns. */
export type OutputOf<Result> = undefined extends Result ? unknown : Resolved<Result>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;
const KNOWN = ["description", "inputSchema", "deadline", "labels"];

/**
 * Defines a workflow. `define` runs once, now: each task that it calls becomes a node, the refs that
 * it passes on become dependencies, and what it returns (a ref, or an object or array with refs in
 * it) the output. Without a return value the output is an object from the id of each last task to
 * its output. Throws INVALID_WORKFLOW and INVALID_OPTION.
 */
export function workflow<In, Result>(
  name: string,
  define: (input: Ref<In>) => Result,
  options: WorkflowOptions = {},
): Workflow<In, OutputOf<Result>> {
  checkDefinition(name, define);
  refuseUnknownOptions(options, KNOWN, `workflow "${name}"`);
  const builder = new WorkflowBuilder(name);
  const result: unknown = buildWith(builder, (input) => define(input as Ref<In>));
  const spec = create(WorkflowSpecSchema, {
    name,
    description: options.description ?? "",
    tasks: builder.nodes,
    output: outputExpression(builder, result),
    labels: requireLabels(options.labels),
  });
  if (options.inputSchema !== undefined) spec.inputSchema = JSON.stringify(options.inputSchema);
  if (options.deadline !== undefined) {
    spec.deadline = durationFromMs(parseDuration(options.deadline, "deadline"));
  }
  return makeWorkflow(name, spec, builder.tasks);
}

function checkDefinition(name: unknown, define: unknown): void {
  if (typeof name !== "string" || !NAME.test(name)) {
    throw new HeadraceError("INVALID_OPTION", `${shown(name)} cannot be the name of a workflow`, {
      field: "name",
      actual: shown(name),
      remedy: "Use 1 to 200 letters, digits, '.', '_' and '-', beginning with a letter or digit.",
    });
  }
  if (typeof define === "function") return;
  throw new HeadraceError(
    "INVALID_OPTION",
    `The definition of the workflow "${name}" is ${shown(define)}, not a function`,
    {
      field: "define",
      actual: shown(define),
      remedy: "Give a function that calls tasks: (input) => task(input).",
    },
  );
}

function outputExpression(builder: WorkflowBuilder, result: unknown): string {
  if (result === undefined) return "";
  if (result instanceof Promise) {
    // The error below tells more than the one that the promise may reject with.
    result.catch(() => undefined);
    throw new HeadraceError("INVALID_WORKFLOW", `The function of "${builder.workflowName}" is async`, {
      remedy: "It only draws the graph and must return at once; waiting belongs into tasks.",
    });
  }
  return builder.expression(result, refFacts(result) === undefined ? "result" : "output");
}

function makeWorkflow<In, Out>(
  name: string,
  spec: WorkflowSpec,
  tasks: readonly TaskDefinition[],
): Workflow<In, Out> {
  let contentKey: string | undefined;
  return {
    name,
    spec,
    tasks,
    get contentKey() {
      contentKey ??= Buffer.from(toBinary(WorkflowSpecSchema, spec)).toString("base64");
      return contentKey;
    },
    toJSON: () => toJson(WorkflowSpecSchema, spec) as JsonObject,
  };
}
