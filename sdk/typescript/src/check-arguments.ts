import type { Servable } from "./client.js";
import { HeadraceError } from "./errors.js";
import { shown } from "./options.js";
import type { TaskDefinition } from "./task-options.js";
import type { WorkflowDefinition } from "./workflow.js";

// The types of the SDK say all of this too, but JavaScript and casts do not ask them.

/** Throws INVALID_OPTION unless `value` is what workflow() returned. */
export function requireWorkflow(value: unknown): void {
  if (isWorkflow(value)) return;
  const what = isTask(value) ? `the task "${value.name}"` : shown(value);
  throw new HeadraceError("INVALID_OPTION", `The workflow is ${what}`, {
    field: "workflow",
    actual: what,
    remedy: isTask(value)
      ? `Define a workflow that calls it: workflow("${value.name}", (input) => ${value.name}(input)).`
      : "Give what workflow() returned; a stored one can be started by its name.",
  });
}

/** What to serve, as a list. Throws INVALID_OPTION with the index of what is neither task nor workflow. */
export function requireServables(what: Servable | readonly Servable[]): readonly Servable[] {
  const servables: readonly unknown[] = Array.isArray(what) ? what : [what];
  for (const [i, servable] of servables.entries()) {
    if (isWorkflow(servable) || isTask(servable)) continue;
    const path = Array.isArray(what) ? `serve()[${i}]` : "What serve() got";
    throw new HeadraceError("INVALID_OPTION", `${path} is ${shown(servable)}`, {
      field: Array.isArray(what) ? `[${i}]` : "what",
      actual: shown(servable),
      remedy: "Give what task() or workflow() returned, or a list of those.",
    });
  }
  return servables as readonly Servable[];
}

/** Throws INVALID_OPTION unless `inputs` can be iterated. */
export function requireInputs(inputs: Iterable<unknown>): void {
  const given: unknown = inputs;
  if (given !== undefined && given !== null && Symbol.iterator in Object(given)) return;
  throw new HeadraceError("INVALID_OPTION", `The inputs of startMany() are ${shown(given)}`, {
    field: "inputs",
    actual: shown(given),
    remedy: "Give an array, or something else to iterate, with one input for each execution.",
  });
}

/** Whether a value is what workflow() returned. */
export function isWorkflow(value: unknown): value is WorkflowDefinition {
  return typeof value === "object" && value !== null && "spec" in value && "contentKey" in value;
}

function isTask(value: unknown): value is TaskDefinition {
  return typeof value === "function" && "handler" in value && "with" in value;
}
