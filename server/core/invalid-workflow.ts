import { HeadraceError, type Violation } from "./errors.js";

const NAME_CHARS_SHOWN = 60;

/**
 * The refusal of a workflow, with everything that is wrong with it: NOT_SUPPORTED_YET when each
 * violation is that, else INVALID_WORKFLOW.
 */
export function invalidWorkflow(name: string, violations: readonly Violation[]): HeadraceError {
  const [first] = violations;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
  const what = `${first?.field ?? ""}: ${first?.message ?? ""}${more}`;
  const isOnlyUnsupported = violations.every(({ reason }) => reason === "NOT_SUPPORTED_YET");
  if (isOnlyUnsupported) {
    return new HeadraceError("NOT_SUPPORTED_YET", what, {
      ...(first !== undefined && { field: first.field }),
      violations,
    });
  }
  const quoted = JSON.stringify(name.slice(0, NAME_CHARS_SHOWN));
  return new HeadraceError("INVALID_WORKFLOW", `Workflow ${quoted} is not valid: ${what}`, { violations });
}
