import { task, workflow, type Ref, type Workflow } from "@headrace/sdk";

/** What executions of the benchmarks take and give. */
export interface Count {
  readonly n: number;
}

/** Which workflow to run; the worker and the load generator each make it from this. */
export type Shape =
  | { readonly kind: "single" }
  | { readonly kind: "chain"; readonly length: number }
  | { readonly kind: "fanout"; readonly width: number };

/** A workflow with what its output must be. */
export interface BenchWorkflow {
  readonly definition: Workflow<Count, Count>;
  readonly taskCount: number;
  readonly expected: (n: number) => number;
}

/** Handlers do nothing that takes time; those that add show in the output that all of them ran. */
const echo = task("echo", ({ n }: Count): Count => ({ n }));
const add = task("add", ({ n }: Count): Count => ({ n: n + 1 }));

/** The workflow of a shape. */
export function workflowOf(shape: Shape): BenchWorkflow {
  switch (shape.kind) {
    case "single":
      return {
        definition: workflow("bench-single", (input: Ref<Count>) => echo(input)),
        taskCount: 1,
        expected: (n) => n,
      };
    case "chain":
      return chainOf(shape.length);
    case "fanout":
      return fanOutOf(shape.width);
  }
}

/** Tasks that each add one to the output of the one before. */
function chainOf(length: number): BenchWorkflow {
  const define = (input: Ref<Count>): Ref<Count> => {
    let last = add(input);
    for (let step = 2; step <= length; step++) last = add(last);
    return last;
  };
  return {
    definition: workflow("bench-chain", define),
    taskCount: length,
    expected: (n) => n + length,
  };
}

/** One task, then `width` tasks that each take its output, then one that waits for them all. */
function fanOutOf(width: number): BenchWorkflow {
  const define = (input: Ref<Count>): Ref<Count> => {
    const root = add.with({ id: "root" })(input);
    const items = Array.from({ length: width }, (_, item) => echo.with({ id: `item-${item}` })(root));
    return add.with({ id: "join", after: items })(root);
  };
  return {
    definition: workflow("bench-fanout", define),
    taskCount: width + 2,
    expected: (n) => n + 2,
  };
}
