import { readFileSync } from "node:fs";
import { text as readText } from "node:stream/consumers";
import type { Payload } from "../gen/headrace/v1/payload_pb.js";
import type { Cli } from "./cli.js";
import { usageError } from "./cli-error.js";
import { fileErrorText } from "./file-error.js";

const ENCODING_OF_JSON = "json";

/**
 * The payload of an option's value: JSON text, @file or - for standard input. The text is sent letter by
 * letter, because parsing and printing would change large numbers.
 */
export async function readJsonPayload(
  value: string,
  option: string,
  cli: Cli,
): Promise<{ data: Uint8Array; encoding: string }> {
  const [text, origin] = await readArgument(value, option, cli);
  try {
    JSON.parse(text);
  } catch (error) {
    throw usageError(
      `the ${origin} of ${option} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      `write text in quotes, such as ${option} '"text"', or name a file as ${option} @input.json`,
    );
  }
  return { data: new TextEncoder().encode(text), encoding: ENCODING_OF_JSON };
}

async function readArgument(
  value: string,
  option: string,
  cli: Cli,
): Promise<[text: string, origin: string]> {
  if (value === "-") return [await readText(cli.stdin), "standard input"];
  if (!value.startsWith("@")) return [value, "value"];
  const path = value.slice(1);
  return [readTextFile(path, `the file ${path} of ${option}`), `file ${path}`];
}

/** The text of a file that the user named. */
export function readTextFile(path: string, named: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw usageError(`${named} cannot be read: ${fileErrorText(error)}`, "correct the path");
  }
}

/** A payload for people: indented JSON, or what it is when it is not JSON. Undefined: nothing. */
export function payloadText(payload: Payload | undefined): string {
  if (payload === undefined) return "";
  const isJson = payload.encoding === "" || payload.encoding === ENCODING_OF_JSON;
  if (!isJson) return `${payload.data.length} bytes of ${payload.encoding}`;
  const text = new TextDecoder().decode(payload.data);
  try {
    return indent(text);
  } catch {
    // Workers may have sent anything under this name; it is shown as it is.
    return text;
  }
}

/** Indents JSON unless that would change what it says, as it would with numbers beyond 2^53. */
function indent(text: string): string {
  const value: unknown = JSON.parse(text);
  return JSON.stringify(value) === text ? JSON.stringify(value, null, 2) : text;
}
