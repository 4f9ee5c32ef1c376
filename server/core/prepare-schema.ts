/** A schema that is refused before it is compiled. The message says why, for its author. */
export class SchemaRefusal extends Error {}

/** In every prepared subschema: what one visit of it costs, in steps. */
export const STEP_KEYWORD = "headraceSteps";

export type PreparedSchema = boolean | Readonly<Record<string, unknown>>;

type JsonObject = Readonly<Record<string, unknown>>;

const DIALECT = /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/;
const CHARS_PER_STEP = 16;
/** Compiling takes up to half a millisecond for each. */
const SUBSCHEMAS_MAX = 500;

type Shape = "one" | "list" | "map";

/** Keywords whose value is a schema, a list of schemas, or a map to schemas. */
const APPLICATORS: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ...names("one", "additionalProperties contains else if items not propertyNames then"),
  ...names("one", "unevaluatedItems unevaluatedProperties"),
  ...names("list", "allOf anyOf oneOf prefixItems"),
  ...names("map", "$defs definitions dependentSchemas properties"),
]);

/** Keywords that are kept as they are. Others only annotate and are left out. */
const ASSERTIONS: ReadonlySet<string> = new Set(
  (
    "$anchor $dynamicAnchor $dynamicRef $ref const dependentRequired enum exclusiveMaximum exclusiveMinimum " +
    "maxContains maxItems maxLength maxProperties maximum minContains minItems minLength minProperties " +
    "minimum multipleOf required type uniqueItems"
  ).split(" "),
);

const REFUSED: ReadonlyMap<string, string> = new Map([
  ["pattern", "its cost cannot be bounded; use enum, minLength or maxLength, or check it in a task"],
  ["patternProperties", "its cost cannot be bounded; use properties and additionalProperties"],
  ["dependencies", "it is not part of draft 2020-12; use dependentRequired or dependentSchemas"],
  ["$async", "validation is synchronous; remove it"],
  ["$recursiveRef", "it is not part of draft 2020-12; use $dynamicRef"],
]);

interface Walk {
  /** JSON pointers of all subschemas. */
  readonly pointers: Set<string>;
  /** References that must lead to one of them, with their places. */
  readonly references: Array<readonly [place: string, reference: string]>;
}

/**
 * Reads the text of a JSON Schema into a form whose validation can be bounded: only keywords that
 * assert something, no regular expressions, no reference to anything but a subschema of this
 * document, and in each subschema the cost of a visit. Throws SchemaRefusal.
 */
export function prepareSchema(schemaText: string): PreparedSchema {
  const root = readSchema(schemaText);
  const walk: Walk = { pointers: new Set(), references: [] };
  const prepared = prepare(root, "#", walk);
  for (const [place, reference] of walk.references) {
    if (!reference.startsWith("#")) {
      throw new SchemaRefusal(
        `The reference ${JSON.stringify(reference)} at ${place} leads outside; nothing is loaded from elsewhere, so put the schema under $defs.`,
      );
    }
    if (/^#(\/|$)/.test(reference) && !walk.pointers.has(decodePointer(reference))) {
      throw new SchemaRefusal(
        `The reference ${JSON.stringify(reference)} at ${place} leads to no schema here.`,
      );
    }
  }
  return prepared;
}

/** The schema as its author wrote it. */
export function readSchema(schemaText: string): boolean | JsonObject {
  let schema: unknown;
  try {
    schema = JSON.parse(schemaText);
  } catch (error) {
    throw new SchemaRefusal(
      `The schema is not JSON: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
  if (!isSchema(schema)) throw new SchemaRefusal("A schema is a JSON object, or true or false.");
  const dialect = typeof schema === "boolean" ? undefined : schema["$schema"];
  if (dialect === undefined || (typeof dialect === "string" && DIALECT.test(dialect))) return schema;
  throw new SchemaRefusal(
    `The schema is written in ${JSON.stringify(dialect)}; only https://json-schema.org/draft/2020-12/schema is supported.`,
  );
}

function prepare(schema: unknown, place: string, walk: Walk): PreparedSchema {
  walk.pointers.add(place);
  if (walk.pointers.size > SUBSCHEMAS_MAX) {
    throw new SchemaRefusal(
      `The schema has more than ${SUBSCHEMAS_MAX} subschemas; check the rest in a task.`,
    );
  }
  if (typeof schema === "boolean") return schema;
  if (!isSchema(schema))
    throw new SchemaRefusal(`At ${place} a schema is expected: an object, true or false.`);
  // Without a prototype no keyword is inherited, and "__proto__" is a key like any other.
  const prepared = Object.create(null) as Record<string, unknown>;
  let steps = 1;
  for (const [keyword, value] of Object.entries(schema)) {
    refuse(keyword, place);
    const shape = APPLICATORS.get(keyword);
    if (shape !== undefined) {
      const below = applied(shape, value, `${place}/${keyword}`, walk);
      prepared[keyword] = below.value;
      steps += below.count;
    } else if (ASSERTIONS.has(keyword)) {
      prepared[keyword] = value;
      steps += Math.floor(JSON.stringify(value).length / CHARS_PER_STEP);
      if (keyword === "$ref" || keyword === "$dynamicRef") walk.references.push([place, String(value)]);
    }
  }
  prepared[STEP_KEYWORD] = steps;
  return prepared;
}

function applied(
  shape: Shape,
  value: unknown,
  place: string,
  walk: Walk,
): { readonly value: unknown; readonly count: number } {
  if (shape === "one") return { value: prepare(value, place, walk), count: 1 };
  if (shape === "list") {
    if (!Array.isArray(value)) throw new SchemaRefusal(`At ${place} a list of schemas is expected.`);
    const items = value.map((item, index) => prepare(item, `${place}/${index}`, walk));
    return { value: items, count: items.length };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new SchemaRefusal(`At ${place} an object of schemas is expected.`);
  }
  // Ajv leaves this name out of its code, so what the schema says about it would not be checked.
  if (Object.hasOwn(value, "__proto__"))
    throw new SchemaRefusal(`The name "__proto__" at ${place} is not supported.`);
  const entries = Object.entries(value).map(
    ([key, item]) => [key, prepare(item, `${place}/${encodeToken(key)}`, walk)] as const,
  );
  return { value: Object.fromEntries(entries), count: entries.length };
}

function refuse(keyword: string, place: string): void {
  const why = REFUSED.get(keyword);
  if (why !== undefined)
    throw new SchemaRefusal(`The keyword ${keyword} at ${place} is not supported: ${why}.`);
  if (keyword === "$id" && place !== "#") {
    throw new SchemaRefusal(
      `The keyword $id at ${place} is not supported below the top; refer by "#/$defs/…".`,
    );
  }
}

function isSchema(value: unknown): value is boolean | JsonObject {
  return typeof value === "boolean" || (typeof value === "object" && value !== null && !Array.isArray(value));
}

function encodeToken(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

function decodePointer(reference: string): string {
  try {
    return decodeURIComponent(reference);
  } catch {
    throw new SchemaRefusal(`The reference ${JSON.stringify(reference)} is not a valid URI fragment.`);
  }
}

function names(shape: Shape, keywords: string): ReadonlyArray<readonly [string, Shape]> {
  return keywords.split(" ").map((keyword) => [keyword, shape] as const);
}
