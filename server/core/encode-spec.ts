import { canonicalJson } from "./canonical-json.js";
import type { InputMapping, TaskSpec, WorkflowSpec } from "./workflow-spec.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A literal payload as it stands in the stored text. */
interface StoredLiteral {
  readonly kind: "literal";
  readonly payload: { readonly data: string; readonly encoding: string };
}

type StoredMapping = Exclude<InputMapping, { readonly kind: "literal" }> | StoredLiteral;
type StoredTask = Omit<TaskSpec, "input"> & { readonly input?: StoredMapping };
type StoredSpec = Omit<WorkflowSpec, "tasks"> & { readonly tasks: readonly StoredTask[] };

/**
 * The bytes under which a workflow is stored: canonical JSON in the names of WorkflowSpec, payload
 * literals in base64. Equal contents give equal bytes; the order of tasks is content. What was not
 * written, and what is written but empty, is left out, so that both are the same version. Throws
 * TypeError for text that UTF-8 cannot carry, which `compilePlan` refuses before.
 */
export function encodeSpec(spec: WorkflowSpec): Uint8Array {
  const stored: StoredSpec = { ...withoutEmpty(spec), name: spec.name, tasks: spec.tasks.map(encodeTask) };
  return encoder.encode(canonicalJson(stored));
}

/** The workflow that `encodeSpec` wrote. Throws SyntaxError or TypeError when it did not. */
export function decodeSpec(bytes: Uint8Array): WorkflowSpec {
  // The bytes are the server's own, so their shape is known.
  const stored = JSON.parse(decoder.decode(bytes)) as StoredSpec;
  return { ...stored, tasks: stored.tasks.map(decodeTask) };
}

function encodeTask(task: TaskSpec): StoredTask {
  const { id, input, retry, timeouts, ...rest } = task;
  return {
    ...withoutEmpty({
      ...rest,
      ...(retry && { retry: withoutEmpty(retry) }),
      ...(timeouts && { timeouts: withoutEmpty(timeouts) }),
    }),
    id,
    ...(input && { input: encodeMapping(input) }),
  };
}

function encodeMapping(mapping: InputMapping): StoredMapping {
  if (mapping.kind !== "literal") return mapping;
  const { data, encoding } = mapping.payload;
  return { kind: "literal", payload: { data: Buffer.from(data).toString("base64"), encoding } };
}

function decodeTask({ input, ...rest }: StoredTask): TaskSpec {
  if (input === undefined) return rest;
  if (input.kind !== "literal") return { ...rest, input };
  const data = Uint8Array.from(Buffer.from(input.payload.data, "base64"));
  return { ...rest, input: { kind: "literal", payload: { data, encoding: input.payload.encoding } } };
}

/** The fields of a message that say something: the contract cannot tell an empty one from an absent one. */
function withoutEmpty<T extends object>(message: T): T {
  const entries = Object.entries(message).filter(([, value]) => !isEmpty(value));
  return Object.fromEntries(entries) as T;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === "") return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
