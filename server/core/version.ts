import { createHash } from "node:crypto";
import { encodeSpec } from "./encode-spec.js";
import type { WorkflowSpec } from "./workflow-spec.js";

/** The version of a workflow: the first 128 bits of the SHA-256 of its stored bytes, as UUID text. */
export function versionOf(spec: WorkflowSpec): string {
  return versionOfBytes(encodeSpec(spec));
}

/** The version of a workflow whose stored bytes are at hand. */
export function versionOfBytes(bytes: Uint8Array): string {
  const hex = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
