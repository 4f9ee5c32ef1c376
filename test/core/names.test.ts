import test from "ava";
import * as fc from "fast-check";
import {
  handlerNameProblem,
  isCleanText,
  labelKeyProblem,
  namespaceProblem,
  queueNameProblem,
  taskIdProblem,
  textProblem,
  workflowNameProblem,
} from "../../server/core/names.js";
import { didYouMean, nearest } from "../../server/core/nearest.js";

type Checker = (value: string) => string | undefined;

const CHECKERS: ReadonlyArray<readonly [string, Checker, readonly string[], readonly string[]]> = [
  [
    "workflow",
    workflowNameProblem,
    ["a", "9", "Order.v2_x-y", "a".repeat(200)],
    ["", ".a", "a b", "a/b", "a".repeat(201)],
  ],
  ["task", taskIdProblem, ["a", "A1_x-y"], ["", "1a", "a.b", "-a", "ä", "a\n"]],
  ["handler", handlerNameProblem, ["a", "9/b.c_d-e"], ["", "/a", "a b", "a\0"]],
  ["queue", queueNameProblem, ["default", "eu/fast"], ["", "-", "a:b"]],
  ["namespace", namespaceProblem, ["a", "team-1", "a".repeat(63)], ["", "1a", "A", "a_b", "a".repeat(64)]],
  ["label key", labelKeyProblem, ["a", "Team name", "ä/ö"], ["", "a\nb", "\0", "\ud800", "a".repeat(64)]],
];

test("names keep to their patterns", (t) => {
  for (const [what, checker, good, bad] of CHECKERS) {
    for (const value of good) t.is(checker(value), undefined, `${what} ${value}`);
    for (const value of bad) t.truthy(checker(value), `${what} ${JSON.stringify(value)}`);
  }
});

test("a problem names limit, value and the nearest name", (t) => {
  t.regex(taskIdProblem("a".repeat(201)) ?? "", /201 characters.*limit of 200/);
  t.regex(taskIdProblem("charge card") ?? "", /"charge card".*such as "charge-card"/);
  t.regex(namespaceProblem("Team One") ?? "", /such as "team-one"/);
  t.notRegex(taskIdProblem("äöü") ?? "", /such as/);
  t.regex(namespaceProblem("") ?? "", /empty; give it 1 to 63/);
});

test("every suggested name is one that is accepted", (t) => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 50 }), (value) => {
      for (const [, checker] of CHECKERS) {
        const suggestion = /such as (".*")\.$/s.exec(checker(value) ?? "")?.[1];
        if (suggestion !== undefined) t.is(checker(JSON.parse(suggestion) as string), undefined);
      }
    }),
  );
});

test("text that cannot be stored is refused", (t) => {
  for (const text of ["", "plain", "tab\tand\r\nlines", "ä 漢 👍", "\u200b", "\ue000"])
    t.true(isCleanText(text));
  for (const text of ["\0", "a\0b", "\x1b[31m", "\x7f", "\x85", "\ud800", "a\udc00", "\udc00\ud800"]) {
    t.false(isCleanText(text), JSON.stringify(text));
  }
  t.regex(textProblem("note", "ab\0", 10) ?? "", /note has U\+0000.*position 2/);
  t.regex(textProblem("note", "\ud800", 10) ?? "", /half a surrogate pair/);
  t.regex(textProblem("note", "abc", 2) ?? "", /3 characters.*limit of 2/);
});

test("the nearest of many words", (t) => {
  t.is(nearest("charge", ["refund", "charg", "ship"]), "charg");
  t.is(nearest("inptu", ["input", "tasks"]), "input");
  t.is(nearest("Charge", ["charge"]), "charge");
  t.is(nearest("xyz", ["charge", "abc"]), undefined);
  t.is(didYouMean("xyz", ["charge"]), "");
});
