import { DEFAULT_LIMITS, type Limits } from "./limits.js";

/** What a kind of name looks like. */
interface NameRule {
  /** For messages: "task id". */
  readonly what: string;
  readonly pattern: RegExp;
  /** The characters that the pattern allows, for people. */
  readonly allowed: string;
  /** Turns any text into the nearest text that the pattern allows, or into nothing. */
  readonly repair: (value: string) => string;
}

const NAMESPACE_CHARS_MAX = 63;
const SHOWN_CHARS_MAX = 60;

const WORKFLOW_NAME: NameRule = {
  what: "workflow name",
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
  allowed: 'letters, digits, ".", "_" and "-", beginning with a letter or digit',
  repair: (value) => value.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, ""),
};

const TASK_ID: NameRule = {
  what: "task id",
  pattern: /^[A-Za-z][A-Za-z0-9_-]*$/,
  allowed: 'letters, digits, "_" and "-", beginning with a letter',
  repair: (value) => value.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^[^A-Za-z]+/, ""),
};

const ROUTE_NAME: Omit<NameRule, "what"> = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._/-]*$/,
  allowed: 'letters, digits, ".", "_", "/" and "-", beginning with a letter or digit',
  repair: (value) => value.replace(/[^A-Za-z0-9._/-]+/g, "-").replace(/^[^A-Za-z0-9]+/, ""),
};

const NAMESPACE: NameRule = {
  what: "namespace",
  pattern: /^[a-z][a-z0-9-]*$/,
  allowed: 'lower-case letters, digits and "-", beginning with a letter',
  repair: (value) =>
    value
      .toLowerCase()
      .replace(/[^a-z0-9-]+/g, "-")
      .replace(/^[^a-z]+/, ""),
};

/** What is wrong with the name of a workflow: 1 to 200 characters of [A-Za-z0-9._-]. */
export function workflowNameProblem(name: string, limits: Limits = DEFAULT_LIMITS): string | undefined {
  return nameProblem(WORKFLOW_NAME, name, limits.nameChars);
}

/** What is wrong with the id of a task: 1 to 200 characters of [A-Za-z0-9_-], beginning with a letter. */
export function taskIdProblem(id: string, limits: Limits = DEFAULT_LIMITS): string | undefined {
  return nameProblem(TASK_ID, id, limits.nameChars);
}

/** What is wrong with the name of a handler: 1 to 200 characters of [A-Za-z0-9._/-]. */
export function handlerNameProblem(name: string, limits: Limits = DEFAULT_LIMITS): string | undefined {
  return nameProblem({ what: "handler name", ...ROUTE_NAME }, name, limits.nameChars);
}

/** What is wrong with the name of a queue: 1 to 200 characters of [A-Za-z0-9._/-]. */
export function queueNameProblem(name: string, limits: Limits = DEFAULT_LIMITS): string | undefined {
  return nameProblem({ what: "queue name", ...ROUTE_NAME }, name, limits.nameChars);
}

/** What is wrong with the name of a namespace: 1 to 63 characters of [a-z0-9-], beginning with a letter. */
export function namespaceProblem(name: string): string | undefined {
  return nameProblem(NAMESPACE, name, NAMESPACE_CHARS_MAX);
}

/** What is wrong with the key of a label: 1 to 63 characters without control characters or line breaks. */
export function labelKeyProblem(key: string, limits: Limits = DEFAULT_LIMITS): string | undefined {
  if (key.length === 0) return `The label key is empty; give it 1 to ${limits.labelKeyChars} characters.`;
  if (/[\t\n\r]/.test(key)) return `The label key ${shown(key)} has a tab or line break; remove it.`;
  return textProblem("label key", key, limits.labelKeyChars);
}

/**
 * Whether text can be stored and shown as it is: no NUL, no other control character except tab and
 * line breaks, and no half of a surrogate pair, which UTF-8 cannot carry.
 */
export function isCleanText(text: string): boolean {
  return dirtIn(text) === undefined;
}

/** What is wrong with free text: its length in characters, or a character that cannot be kept. */
export function textProblem(what: string, text: string, charsMax: number): string | undefined {
  if (text.length > charsMax) {
    return `The ${what} has ${text.length} characters, more than the limit of ${charsMax}; shorten it.`;
  }
  const dirt = dirtIn(text);
  if (dirt === undefined) return undefined;
  const code = dirt.char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  const kind = dirt.char >= "\ud800" ? "half a surrogate pair" : "a control character";
  return `The ${what} has U+${code}, ${kind}, at position ${dirt.index}; remove it.`;
}

const DIRT =
  /[\0-\x08\v\f\x0e-\x1f\x7f-\x9f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

function dirtIn(text: string): { readonly char: string; readonly index: number } | undefined {
  const match = DIRT.exec(text);
  return match === null ? undefined : { char: match[0], index: match.index };
}

function nameProblem(rule: NameRule, value: string, charsMax: number): string | undefined {
  const { what, pattern, allowed } = rule;
  if (value.length > charsMax) {
    return `The ${what} ${shown(value)} has ${value.length} characters, more than the limit of ${charsMax}; shorten it.`;
  }
  if (value.length > 0 && pattern.test(value)) return undefined;
  if (value.length === 0) return `The ${what} is empty; give it 1 to ${charsMax} ${allowed}.`;
  const nearest = rule.repair(value);
  const hint = nearest === "" ? "" : `, such as ${shown(nearest)}`;
  return `The ${what} ${shown(value)} is not made of ${allowed}; rename it${hint}.`;
}

/** The beginning of what a user wrote, in quotes, for messages: it may be as long as a message. */
export function shown(value: string): string {
  return JSON.stringify(value.length > SHOWN_CHARS_MAX ? `${value.slice(0, SHOWN_CHARS_MAX)}…` : value);
}
