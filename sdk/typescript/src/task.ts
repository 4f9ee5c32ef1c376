import { HeadraceError } from "./errors.js";
import type { Input, OutputValue, Ref } from "./ref.js";
import type { Handler, NodeOptions, TaskOptions } from "./task-options.js";
import { checkNodeOptions, checkTaskOptions } from "./task-options.js";
import { currentBuilder } from "./workflow-builder.js";

/** The arguments of a task call: none are needed when the handler takes none. */
export type TaskArguments<In> = undefined extends In ? [input?: Input<In>] : [input: Input<In>];

/**
 * A task. Called in the function of a workflow it adds a node and answers the ref of its output;
 * the input is a ref, or a value in which any part may be a ref.
 */
export interface Task<In, Out> {
  (...input: TaskArguments<In>): Ref<OutputValue<Out>>;
  /** The name under which workers serve it. */
  readonly name: string;
  readonly options: TaskOptions;
  /** Undefined when another worker serves it. */
  readonly handler: Handler<In, Out> | undefined;
  /** The same task with an id, ordering-only dependencies or other options for one use of it. */
  with(options: NodeOptions): (...input: TaskArguments<In>) => Ref<OutputValue<Out>>;
}

/**
 * Defines a task. The handler gets the input, decoded from JSON, and a context; what it returns is
 * the output, what it throws a failure that the retry policy decides on.
 */
export function task<In, Out>(
  name: string,
  handler: Handler<In, Out>,
  options: TaskOptions = {},
): Task<In, Out> {
  if (typeof handler !== "function") {
    throw new HeadraceError("INVALID_OPTION", `The handler of the task "${name}" is not a function`, {
      field: "handler",
      remedy: `For a task that another worker serves, use external("${name}").`,
    });
  }
  return makeTask(name, handler, options);
}

/** A typed reference to a task that another worker serves, in any language. */
export function external<In, Out>(name: string, options: TaskOptions = {}): Task<In, Out> {
  return makeTask<In, Out>(name, undefined, options);
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$/;

function makeTask<In, Out>(
  name: string,
  handler: Handler<In, Out> | undefined,
  options: TaskOptions,
): Task<In, Out> {
  if (!NAME.test(name)) {
    throw new HeadraceError("INVALID_OPTION", `"${name}" cannot be the name of a task`, {
      field: "name",
      actual: name,
      remedy: "Use 1 to 200 letters, digits, '.', '_', '-' and '/', beginning with a letter or digit.",
    });
  }
  checkTaskOptions(options, `task "${name}"`);
  const source = { name, options, handler };
  const call = (...input: TaskArguments<In>): Ref<OutputValue<Out>> =>
    currentBuilder(name).addNode(source, {}, input[0]) as Ref<OutputValue<Out>>;
  Object.defineProperty(call, "name", { value: name });
  return Object.assign(call, {
    options,
    handler,
    with: (nodeOptions: NodeOptions) => {
      checkNodeOptions(nodeOptions, `task "${name}"`);
      return (...input: TaskArguments<In>): Ref<OutputValue<Out>> =>
        currentBuilder(name).addNode(source, nodeOptions, input[0]) as Ref<OutputValue<Out>>;
    },
  });
}
