import type { SourceFile } from "../source-files.js";
import { checkCode } from "./code-rules.js";
import { checkImports } from "./import-rules.js";
import { checkLayout } from "./layout-rules.js";
import { checkLockfile } from "./lockfile-rules.js";
import { checkText } from "./text-rules.js";
import type { TidyViolation } from "./violation.js";

/**
 * Everything in which the files break the rules of the repository. `longFiles` gives, for each file
 * of more than 300 lines, the reason why it is one file.
 */
export function findViolations(
  files: readonly SourceFile[],
  longFiles: Readonly<Record<string, string>> = {},
): TidyViolation[] {
  return [
    ...checkImports(files),
    ...checkCode(files),
    ...checkText(files),
    ...checkLayout(files, longFiles),
    ...checkLockfile(files),
  ];
}
