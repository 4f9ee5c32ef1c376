import { text as readText } from "node:stream/consumers";
import { fromJson, type DescField, type DescMessage, type JsonValue } from "@bufbuild/protobuf";
import { nearest } from "../config/nearest.js";
import type { Violation } from "../core/errors.js";
import { WorkflowSpecSchema, type WorkflowSpec } from "../gen/headrace/v1/workflow_pb.js";
import type { Cli } from "./cli.js";
import { CliError, EXIT, usageError } from "./cli-error.js";
import { readTextFile } from "./payload.js";

/** The workflow in a file (or "-" for standard input), which is the proto JSON form of WorkflowSpec. */
export async function readWorkflowFile(path: string, cli: Cli): Promise<WorkflowSpec> {
  const text = path === "-" ? await readText(cli.stdin) : readTextFile(path, `the file ${path}`);
  return parseWorkflow(text, sourceName(path));
}

/** What errors call the file. */
export function sourceName(path: string): string {
  return path === "-" ? "standard input" : path;
}

/** Throws a CliError with all unknown fields at once, each with its path. */
export function parseWorkflow(text: string, source: string): WorkflowSpec {
  const json = parseText(text, source);
  const violations = unknownFields(WorkflowSpecSchema, json, "");
  if (violations.length > 0) {
    throw new CliError(EXIT.usage, `${source} is not a workflow`, {
      reason: "INVALID_WORKFLOW",
      violations,
      remedy: "correct these fields; proto/headrace/v1/workflow.proto describes all",
    });
  }
  try {
    return fromJson(WorkflowSpecSchema, json);
  } catch (error) {
    throw usageError(
      `${source} is not a workflow: ${error instanceof Error ? error.message : String(error)}`,
      "correct this field; proto/headrace/v1/workflow.proto describes all",
    );
  }
}

function parseText(text: string, source: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    throw usageError(
      `${source} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      "correct the file",
    );
  }
}

/** Keys that the message does not have, in the whole tree. Values of a wrong type are left to fromJson. */
function unknownFields(schema: DescMessage, json: JsonValue, path: string): Violation[] {
  // Well-known types such as Duration have a JSON form of their own.
  if (!isObject(json) || schema.typeName.startsWith("google.protobuf.")) return [];
  return Object.entries(json).flatMap(([key, value]) => {
    const place = path === "" ? key : `${path}.${key}`;
    const field = schema.fields.find((candidate) => candidate.name === key || candidate.jsonName === key);
    return field === undefined ? [unknownField(schema, key, place)] : fieldsBelow(field, value, place);
  });
}

function fieldsBelow(field: DescField, value: JsonValue, place: string): Violation[] {
  if (field.message === undefined) return [];
  const { message } = field;
  if (field.fieldKind === "list" && Array.isArray(value)) {
    return value.flatMap((item, index) => unknownFields(message, item, `${place}[${index}]`));
  }
  if (field.fieldKind === "map" && isObject(value)) {
    return Object.entries(value).flatMap(([key, item]) => unknownFields(message, item, `${place}[${key}]`));
  }
  return unknownFields(message, value, place);
}

function unknownField(schema: DescMessage, key: string, place: string): Violation {
  const meant = nearest(
    key,
    schema.fields.flatMap((field) => [field.name, field.jsonName]),
  );
  const hint = meant === undefined ? "" : `; did you mean "${meant}"?`;
  return { field: place, reason: "UNKNOWN_FIELD", message: `no field of ${schema.name}${hint}` };
}

function isObject(json: JsonValue): json is Record<string, JsonValue> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
