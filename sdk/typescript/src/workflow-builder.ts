import { create } from "@bufbuild/protobuf";

import { celOf, celSelect, definedFields } from "./cel.js";
import { encodePayload } from "./codec.js";
import { HeadraceError } from "./errors.js";
import type { InputMapping, TaskSpec } from "./gen/headrace/v1/workflow_pb.js";
import { InputFieldsSchema, InputMappingSchema, TaskSpecSchema } from "./gen/headrace/v1/workflow_pb.js";
import type { Ref, RefFacts } from "./ref.js";
import { makeRef, refFacts } from "./ref.js";
import type { NodeOptions, TaskDefinition } from "./task-options.js";
import { applyOptions } from "./task-options.js";

let current: WorkflowBuilder | undefined;

/** The workflow that is being defined. Throws INVALID_WORKFLOW when there is none. */
export function currentBuilder(taskName: string): WorkflowBuilder {
  if (current !== undefined) return current;
  throw new HeadraceError("INVALID_WORKFLOW", `The task "${taskName}" was called outside of workflow(...)`, {
    field: taskName,
    remedy: "Call it in the function given to workflow(); to run its function by hand, call task.handler.",
  });
}

/** Runs the function that defines a workflow, with its builder as the current one. */
export function buildWith<Result>(builder: WorkflowBuilder, define: (input: Ref<unknown>) => Result): Result {
  if (current !== undefined) {
    throw new HeadraceError(
      "INVALID_WORKFLOW",
      `The workflow "${builder.workflowName}" is defined inside of the workflow "${current.workflowName}"`,
      { remedy: "Define one beside the other." },
    );
  }
  current = builder;
  try {
    return define(makeRef({ owner: builder, taskId: undefined, expression: "input" }));
  } finally {
    current = undefined;
  }
}

/** Collects the nodes of one workflow while its function runs. */
export class WorkflowBuilder {
  readonly workflowName: string;
  readonly nodes: TaskSpec[] = [];
  readonly #ids = new Set<string>();
  readonly #tasks = new Map<string, TaskDefinition>();

  constructor(workflowName: string) {
    this.workflowName = workflowName;
  }

  /** The tasks that were used, each once. */
  get tasks(): readonly TaskDefinition[] {
    return [...this.#tasks.values()];
  }

  /** Adds one use of a task and answers the ref of its output. */
  addNode(source: TaskDefinition, options: NodeOptions, input: unknown): Ref<unknown> {
    this.#useTask(source);
    const id = this.#chooseId(source.name, options.id);
    const dependsOn = new Set<string>();
    const node = create(TaskSpecSchema, { id, input: this.#inputMapping(input, id, dependsOn) });
    for (const ref of options.after ?? []) {
      const { taskId } = this.#ownFacts(ref, `${id}.after`);
      if (taskId === undefined) {
        this.#refuse(`"after" of the task "${id}" holds the input`, "Give refs of tasks.");
      }
      dependsOn.add(taskId);
    }
    if (id !== source.name) node.handler = source.name;
    node.dependsOn.push(...dependsOn);
    applyOptions(node, [source.options, options]);
    this.nodes.push(node);
    this.#ids.add(id);
    return makeRef({ owner: this, taskId: id, expression: `${celSelect("tasks", id)}.output` });
  }

  /** The CEL expression of a value with refs of this workflow in it. */
  expression(value: unknown, path: string, uses: (facts: RefFacts) => void = () => undefined): string {
    return celOf(value, path, (part) => {
      if (refFacts(part) === undefined) return undefined;
      const facts = this.#ownFacts(part, path);
      uses(facts);
      return facts.expression;
    });
  }

  #inputMapping(input: unknown, id: string, dependsOn: Set<string>): InputMapping {
    const uses = ({ taskId }: RefFacts): void => {
      if (taskId !== undefined) dependsOn.add(taskId);
    };
    const path = `${id}.input`;
    if (!hasRef(input)) {
      const payload = encodePayload(input === undefined ? null : input, path);
      return create(InputMappingSchema, { source: { case: "literal", value: payload } });
    }
    if (refFacts(input) !== undefined || Array.isArray(input) || typeof input !== "object") {
      return create(InputMappingSchema, {
        source: { case: "expression", value: this.expression(input, path, uses) },
      });
    }
    const fields = Object.fromEntries(
      definedFields(input ?? {}).map(([key, value]) => [key, this.expression(value, `${path}.${key}`, uses)]),
    );
    return create(InputMappingSchema, {
      source: { case: "fields", value: create(InputFieldsSchema, { fields }) },
    });
  }

  #useTask(source: TaskDefinition): void {
    const known = this.#tasks.get(source.name);
    if (known === undefined) this.#tasks.set(source.name, source);
    else if (known.handler !== source.handler) {
      this.#refuse(`two tasks have the name "${source.name}"`, "Give each handler a name of its own.");
    }
  }

  #chooseId(name: string, chosen: string | undefined): string {
    if (chosen !== undefined) {
      if (this.#ids.has(chosen)) this.#refuse(`two tasks have the id "${chosen}"`, "Choose another id.");
      return chosen;
    }
    const base = idFrom(name);
    for (let n = 1; ; n++) {
      const id = n === 1 ? base : `${base}-${n}`;
      if (!this.#ids.has(id)) return id;
    }
  }

  #ownFacts(ref: unknown, path: string): RefFacts {
    const facts = refFacts(ref);
    if (facts === undefined) return this.#refuse(`${path} is not a ref`, "Give what a task call returned.");
    if (facts.owner !== this) {
      this.#refuse(
        `${path} uses the ref ${facts.expression} of another workflow`,
        "A ref is known only in the workflow in which it was made.",
      );
    }
    return facts;
  }

  #refuse(what: string, remedy: string): never {
    throw new HeadraceError("INVALID_WORKFLOW", `In the workflow "${this.workflowName}" ${what}`, { remedy });
  }
}

/** Whether a ref is anywhere in a value. Cycles are found later, by what walks the value. */
function hasRef(value: unknown, seen = new Set<object>()): boolean {
  if (refFacts(value) !== undefined) return true;
  if (typeof value !== "object" || value === null || seen.has(value)) return false;
  seen.add(value);
  return Object.values(value).some((part) => hasRef(part, seen));
}

/** A task id has letters, digits, "_" and "-" and begins with a letter; the name of a task may have more. */
function idFrom(name: string): string {
  const cleaned = name.replace(/[^A-Za-z0-9_-]/g, "-");
  return /^[A-Za-z]/.test(cleaned) ? cleaned : `task-${cleaned}`;
}
