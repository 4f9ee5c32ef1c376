import type { Limits } from "./limits.js";
import { labelKeyProblem, textProblem } from "./names.js";

/** What is wrong with one label, or with all of them together. */
export interface LabelProblem {
  /** `labels` or `labels["team"]`. */
  readonly path: string;
  readonly kind: "count" | "key" | "value";
  readonly message: string;
  readonly limit: number;
  readonly actual: number;
}

/** Everything that is wrong with labels: their number, keys and values. */
export function labelProblems(
  path: string,
  labels: Readonly<Record<string, string>> | undefined,
  limits: Limits,
): readonly LabelProblem[] {
  const entries = Object.entries(labels ?? {});
  if (entries.length > limits.labels) {
    const message = `There are ${entries.length} labels, more than the limit of ${limits.labels}; keep what you search by.`;
    return [{ path, kind: "count", message, limit: limits.labels, actual: entries.length }];
  }
  const problems: LabelProblem[] = [];
  for (const [key, value] of entries) {
    const at = `${path}[${JSON.stringify(key.slice(0, limits.labelKeyChars))}]`;
    const keyMessage = labelKeyProblem(key, limits);
    const valueMessage = textProblem("label value", value, limits.labelValueChars);
    if (keyMessage !== undefined) {
      problems.push({
        path: at,
        kind: "key",
        message: keyMessage,
        limit: limits.labelKeyChars,
        actual: key.length,
      });
    }
    if (valueMessage !== undefined) {
      const limit = limits.labelValueChars;
      problems.push({ path: at, kind: "value", message: valueMessage, limit, actual: value.length });
    }
  }
  return problems;
}
