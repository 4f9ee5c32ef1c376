import type { SourceFile } from "../source-files.js";
import { isGenerated } from "../source-files.js";
import type { TidyViolation } from "./violation.js";

/** A text that must not be in a file. The patterns are put together from parts, so that this file has none of them. */
interface BannedText {
  readonly rule: string;
  readonly pattern: RegExp;
  readonly instead: string;
  readonly where?: RegExp;
}

const BANNED: readonly BannedText[] = [
  {
    rule: "unfinished",
    pattern: new RegExp(`\\b(${["FIX" + "ME", "TO" + "DO", "X" + "XX", "HA" + "CK"].join("|")})\\b`),
    instead: "do it now, or leave it out",
  },
  {
    rule: "only",
    pattern: new RegExp("\\.on" + "ly\\("),
    instead: "remove it: the other tests do not run",
    where: /\.test\.[cm]?[jt]s$/,
  },
  {
    rule: "ignored type error",
    pattern: new RegExp("@ts-" + "(ignore|nocheck)"),
    instead: "correct the type, or say @ts-expect-error with the reason",
  },
  {
    rule: "machine path",
    pattern: new RegExp(
      "(?<![\\w.$}-])/(" + ["ro" + "ot/", "wo" + "rk/", "tmp/" + "wt", "home/" + "\\w"].join("|") + ")",
    ),
    instead: "name a path that exists on every machine",
  },
  {
    rule: "registry host",
    pattern: new RegExp(
      ["registry\\." + "(npmjs|yarnpkg)", "files\\." + "pythonhosted", "npm\\." + "pkg\\.github"].join("|"),
    ),
    instead: "leave the choice of registry to the user's configuration",
  },
];

/** Checks every text file for words and paths that have no place in it. */
export function checkText(files: readonly SourceFile[]): TidyViolation[] {
  return files.flatMap((file) => {
    const rules = BANNED.filter(({ where }) => where === undefined || where.test(file.path));
    // A lockfile is generated, yet it is where a host of ours would slip in.
    return isGenerated(file.path) && file.path !== "package-lock.json"
      ? []
      : rules.flatMap((rule) => checkLines(file, rule));
  });
}

function checkLines(file: SourceFile, { rule, pattern, instead }: BannedText): TidyViolation[] {
  return file.text.split("\n").flatMap((line, index) => {
    const match = pattern.exec(line);
    if (match === null) return [];
    return [{ rule, path: file.path, message: `line ${index + 1}: ${match[0]}: ${instead}` }];
  });
}
