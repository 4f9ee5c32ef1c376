import { HeadraceError, type Violation } from "./core/errors.js";
import { ValueProblem } from "./config/kind.js";
import { nearest } from "./config/nearest.js";
import { contradictions } from "./config/contradictions.js";
import { takeUrlParameters } from "./config/database-url.js";
import type { Setting } from "./config/setting.js";
import {
  CLIENT_VARIABLES,
  SETTING_LIST,
  TEST_VARIABLE_PREFIX,
  type Config,
  type Origin,
  type SettingName,
} from "./config/settings.js";

export type { Config } from "./config/settings.js";

/** Environment variables as a process gets them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Values of flags as written, by setting. */
export type Flags = Readonly<Partial<Record<SettingName, string>>>;

/** The environment of this process. No other code reads it. */
export function readEnvironment(): Environment {
  return process.env;
}

/** The settings together with where each value came from. */
export interface ResolvedConfig {
  readonly config: Config;
  readonly origins: Readonly<Record<SettingName, Origin>>;
}

/**
 * The settings from flags, environment and database URL, in this order of precedence. Throws one
 * HeadraceError INVALID_FIELD whose violations are all mistakes at once.
 */
export function loadConfig(env: Environment, flags: Flags = {}): Config {
  return resolveConfig(env, flags).config;
}

/** As loadConfig, with the origin of each value. */
export function resolveConfig(env: Environment, flags: Flags = {}): ResolvedConfig {
  const violations: Violation[] = [...unknownVariables(env)];
  const values: Partial<Record<SettingName, unknown>> = {};
  const origins = findOrigins(env, flags);
  for (const [name, setting] of SETTING_LIST) {
    const origin = origins[name];
    try {
      values[name] = origin.text === undefined ? undefined : setting.kind.parse(origin.text);
    } catch (error) {
      if (!(error instanceof ValueProblem)) throw error;
      const actual = setting.kind.secret ? "not valid" : JSON.stringify(origin.text);
      violations.push({
        field: origin.from,
        reason: error.reason,
        message: `${origin.from} is ${actual}, ${error.message}`,
      });
    }
  }
  violations.push(...contradictions(values as Partial<Config>, origins));
  if (violations.length > 0) throw invalidConfig(violations);
  return { config: Object.freeze(values as Config), origins };
}

/** A violation for each HEADRACE_* variable that nothing reads. */
export function unknownVariables(env: Environment): Violation[] {
  const known = new Set<string>(Object.keys(CLIENT_VARIABLES));
  for (const [, setting] of SETTING_LIST) for (const name of setting.env) known.add(name);
  return Object.keys(env)
    .filter(
      (name) => name.startsWith("HEADRACE_") && !name.startsWith(TEST_VARIABLE_PREFIX) && !known.has(name),
    )
    .sort()
    .map((name) => {
      const meant = nearest(name, known);
      const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
      return { field: name, reason: "UNKNOWN_NAME", message: `${name} is no setting${hint}` };
    });
}

function invalidConfig(violations: readonly Violation[]): HeadraceError {
  const first = violations[0];
  const count = violations.length;
  const message =
    count === 1 && first !== undefined ? first.message : `The configuration has ${count} mistakes.`;
  return new HeadraceError("INVALID_FIELD", message, { violations });
}

function findOrigins(env: Environment, flags: Flags): Record<SettingName, Origin> {
  const given = SETTING_LIST.map(
    ([name, setting]) => [name, givenOrigin(name, setting, env, flags)] as const,
  );
  const url = given.find(([name]) => name === "databaseUrl")?.[1];
  const parameterNames = SETTING_LIST.flatMap(([, setting]) => setting.urlParameter ?? []);
  const { rest, parameters } = takeUrlParameters(url?.text ?? "", parameterNames);
  const origins: Partial<Record<SettingName, Origin>> = {};
  for (const [index, [name, setting]] of SETTING_LIST.entries()) {
    origins[name] = given[index]?.[1] ?? urlOrigin(setting, parameters) ?? defaultOrigin(setting);
  }
  if (url !== undefined) origins.databaseUrl = { ...url, text: rest };
  return origins as Record<SettingName, Origin>;
}

/** An empty variable counts as unset, because compose files write unset ones so. */
function givenOrigin(
  name: SettingName,
  setting: Setting<unknown>,
  env: Environment,
  flags: Flags,
): Origin | undefined {
  const flag = flags[name];
  if (flag !== undefined) return { source: "flag", from: setting.flag, text: flag };
  const variable = setting.env.find((candidate) => env[candidate] !== undefined && env[candidate] !== "");
  return variable === undefined ? undefined : { source: "env", from: variable, text: env[variable] };
}

function urlOrigin(setting: Setting<unknown>, parameters: ReadonlyMap<string, string>): Origin | undefined {
  const text = setting.urlParameter === undefined ? undefined : parameters.get(setting.urlParameter);
  return text === undefined
    ? undefined
    : { source: "url", from: `${setting.urlParameter ?? ""} of the database URL`, text };
}

function defaultOrigin(setting: Setting<unknown>): Origin {
  return { source: "default", from: setting.env[0], text: setting.default };
}
