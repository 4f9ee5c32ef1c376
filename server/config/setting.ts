import type { Kind } from "./kind.js";

/** One setting of the server. Parsing, help, `config print` and configuration.md all follow from it. */
export interface Setting<T> {
  readonly kind: Kind<T>;
  readonly group: SettingGroup;
  /** Names of the variable; the first that is set wins. */
  readonly env: readonly [string, ...string[]];
  readonly flag: string;
  /** As one would write it. Absent: the setting may be unset. */
  readonly default?: string;
  readonly description: string;
  /** Parameter of the database URL that gives the value when neither flag nor variable does. */
  readonly urlParameter?: string;
}

/** The groups under which help and docs show settings, in their order. */
export const SETTING_GROUPS = ["Database", "Address", "Limits", "Work", "Operation"] as const;
export type SettingGroup = (typeof SETTING_GROUPS)[number];

type Facts = Omit<Setting<unknown>, "kind" | "default">;

/** A setting that has a value in any case. */
export function setting<T>(kind: Kind<T>, facts: Facts & { readonly default: string }): Setting<T> {
  return { kind, ...facts };
}

/** A setting without default, undefined until it is given. */
export function optional<T>(kind: Kind<T>, facts: Facts): Setting<T | undefined> {
  return { kind, ...facts };
}
