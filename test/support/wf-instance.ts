import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A workflow execution that somebody measured, as WfFormat 1.5 tells it. */
export interface WfInstance {
  readonly name: string;
  readonly tasks: ReadonlyArray<{
    readonly id: string;
    readonly parents: readonly string[];
    readonly runtimeSeconds: number;
  }>;
}

interface WfFormat {
  readonly workflow: {
    readonly specification: { readonly tasks: ReadonlyArray<{ id: string; parents: string[] }> };
    readonly execution: { readonly tasks: ReadonlyArray<{ id: string; runtimeInSeconds: number }> };
  };
}

/** Beside the project; it is not part of it. From dist/test/support to the folder that holds the project. */
const FOLDER = fileURLToPath(new URL("../../../../shared/data/wfinstances", import.meta.url));

/** Every instance at hand, smallest first; undefined where the folder is absent. */
export function readWfInstances(): WfInstance[] | undefined {
  if (!existsSync(FOLDER)) return undefined;
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  return files.map(readWfInstance).sort((a, b) => a.tasks.length - b.tasks.length);
}

function readWfInstance(file: string): WfInstance {
  const { workflow } = JSON.parse(readFileSync(`${FOLDER}/${file}`, "utf8")) as WfFormat;
  const runtimes = new Map(
    workflow.execution.tasks.map(({ id, runtimeInSeconds }) => [id, runtimeInSeconds]),
  );
  return {
    name: file.replace(/\.json$/, ""),
    tasks: workflow.specification.tasks.map(({ id, parents }) => ({
      id: taskId(id),
      parents: parents.map(taskId),
      runtimeSeconds: runtimes.get(id) ?? 0,
    })),
  };
}

/** Their ids have dots, which ours cannot have. */
function taskId(id: string): string {
  return id.replaceAll(".", "-");
}
