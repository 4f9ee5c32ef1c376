import { existsSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import test from "ava";
import { REASONS } from "../server/core/errors.js";
import { EXECUTION_STATUSES, TASK_STATUSES } from "../server/core/status.js";
import { renderDocs, replacePart, rewriteDocs } from "./support/generated-docs.js";
import { readSourceFiles, repositoryRoot, type SourceFile } from "./support/source-files.js";

const documents = readSourceFiles().filter(({ path }) => path.endsWith(".md"));

test("generated parts of the documents say what the code says", (t) => {
  for (const [path, text] of renderDocs(repositoryRoot)) {
    t.is(
      readFileSync(join(repositoryRoot, path), "utf8"),
      text,
      `${path} is out of date: run "npm run docs"`,
    );
  }
});

test("every reason is in errors.md with its code and whether it is retryable", (t) => {
  const text = readFileSync(join(repositoryRoot, "server/docs/errors.md"), "utf8");
  const rows = [...text.matchAll(/`([A-Z_]+)` \| `([A-Z_]+)` \| (yes|no) \| (.+) \|$/gm)];
  const documented = rows.map(([, reason, code, retryable]) => ({
    reason,
    code,
    retryable: retryable === "yes",
  }));
  const expected = Object.entries(REASONS).map(([reason, { code, retryable }]) => ({
    reason,
    code,
    retryable,
  }));
  t.deepEqual(documented, expected);
});

test("every status and every answer of the fence is in states.md", (t) => {
  const text = readFileSync(join(repositoryRoot, "server/docs/states.md"), "utf8");
  const fence = readFileSync(join(repositoryRoot, "server/core/fence.ts"), "utf8");
  const stale = /StaleReason =([^;]+);/.exec(fence)?.[1]?.match(/[A-Z_]{3,}/g) ?? [];
  t.true(stale.length >= 4);
  const words = new Set(text.match(/[A-Z_]{3,}/g));
  t.deepEqual(
    [...TASK_STATUSES, ...EXECUTION_STATUSES, ...stale].filter((word) => !words.has(word)),
    [],
  );
});

test("a generated part is replaced between its markers, and missing markers are an error", (t) => {
  const text = "a\n<!-- generated: x -->\nold\n<!-- end of x -->\nb\n";
  const once = replacePart("a.md", text, "x", "new");
  t.true(once.startsWith("a\n<!-- generated: x -->\n") && once.endsWith("<!-- end of x -->\nb\n"));
  t.true(once.includes("\nnew\n") && !once.includes("old"));
  t.is(replacePart("a.md", once, "x", "new"), once);
  for (const wrong of [
    "",
    "<!-- generated: x -->",
    "<!-- end of x -->\n<!-- generated: x -->",
    text + text,
  ]) {
    t.throws(() => replacePart("a.md", wrong, "x", "new"), { message: /^a\.md needs/ });
  }
});

test("npm run docs rewrites a document that is out of date, and only that", (t) => {
  const root = mkdtempSync(join(tmpdir(), "headrace-docs-"));
  t.teardown(() => rmSync(root, { recursive: true }));
  for (const [path, text] of renderDocs(repositoryRoot)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text.replace("`NOT_FOUND`", "`WRONG`"));
  }
  t.deepEqual(rewriteDocs(root), ["server/docs/errors.md"]);
  t.deepEqual(rewriteDocs(root), []);
});

test("links between documents lead somewhere", (t) => {
  const exists = (path: string): boolean => existsSync(join(repositoryRoot, path));
  t.deepEqual(
    documents.flatMap((document) => brokenLinks(document, documents, exists)),
    [],
  );
});

test("a broken link is found", (t) => {
  const other: SourceFile = { path: "docs/b.md", text: '# Two Words!\n\n<a id="mark"></a>\n' };
  const text = [
    "[good](docs/b.md) [good](docs/b.md#two-words) [good](docs/b.md#mark) [good](https://example.com/x.md) [good](#here)",
    "[bad](docs/c.md) [bad](docs/b.md#three) [bad](#nowhere) ![bad](picture.png)",
    "`[code](nothing.md)`\n```\n[code](nothing.md)\n```\n## Here",
  ].join("\n");
  const from: SourceFile = { path: "a.md", text };
  const broken = brokenLinks(from, [from, other], (path) => path === "docs/b.md");
  t.deepEqual(
    broken.map((line) => line.replace("a.md: ", "")),
    ["docs/c.md", "docs/b.md#three", "#nowhere", "picture.png"],
  );
  const above: SourceFile = { path: "docs/b.md", text: "[good](../a.md) [bad](a.md)" };
  t.deepEqual(
    brokenLinks(above, [from, above], (path) => path === "a.md"),
    ["docs/b.md: a.md"],
  );
});

test("files of the server that its documents name exist", (t) => {
  const own = documents.filter(({ path }) => path.startsWith("server/docs/"));
  const exists = (path: string): boolean => existsSync(join(repositoryRoot, path));
  t.deepEqual(
    own.flatMap((document) => missingFiles(document, exists)),
    [],
  );
  const architecture = own.find(({ path }) => path === "server/docs/architecture.md");
  t.true(filesNamedIn(architecture?.text ?? "").length > 30, "the architecture names the files of each step");
  const text =
    '`core/plan.ts`, `sdk/x/y.ts`, a --> b["engine/gone.ts: decides"], store/sql/gone.sql, and gone.ts';
  t.deepEqual(
    missingFiles({ path: "a.md", text }, (path) => ["server/core/plan.ts", "sdk/x/y.ts"].includes(path)),
    ["a.md: engine/gone.ts", "a.md: store/sql/gone.sql"],
  );
});

test("npm commands that documents name exist", (t) => {
  const scripts = scriptsOf("package.json");
  t.deepEqual(
    documents.flatMap((document) =>
      unknownCommands(document, [...scripts, ...scriptsOf(nearestManifest(document.path))]),
    ),
    [],
  );
  const text =
    "`npm run build`, npm test, `npm run nothing -- x`, npm install, `npm ci`, `npm run check:other`";
  t.deepEqual(unknownCommands({ path: "a.md", text }, ["build", "test", "check"]), [
    "a.md: npm run nothing",
    "a.md: npm run check:other",
  ]);
});

/** Relative links of a document to a file or heading that is not there. */
function brokenLinks(
  { path, text }: SourceFile,
  all: readonly SourceFile[],
  exists: (path: string) => boolean,
): string[] {
  const prose = withoutCode(text);
  const targets = [...prose.matchAll(/\]\(([^()\s]+)(?:\s+"[^"]*")?\)/g)].map((match) => match[1] ?? "");
  return targets
    .filter((target) => !/^[a-z]+:/i.test(target))
    .filter((target) => {
      const [file = "", anchor] = target.split("#");
      const aim = file === "" ? path : posix.normalize(posix.join(posix.dirname(path), file));
      if (aim !== path && !exists(aim)) return true;
      const document = all.find((each) => each.path === aim);
      return anchor !== undefined && document !== undefined && !anchorsOf(document.text).has(anchor);
    })
    .map((target) => `${path}: ${target}`);
}

/** Paths of source files in a text. */
function filesNamedIn(text: string): string[] {
  const named = text.matchAll(/(?<![\w./-])(?:[a-z][\w-]*\/)+[\w-]+(?:\.\w+)*\.(?:ts|mjs|sql|proto)\b/g);
  return [...new Set([...named].map(([path]) => path))];
}

/** Files that a document of the server names, from its folder or the repository's, and that are not there. */
function missingFiles({ path, text }: SourceFile, exists: (path: string) => boolean): string[] {
  const missing = filesNamedIn(text).filter((file) => !exists(file) && !exists(`server/${file}`));
  return missing.map((file) => `${path}: ${file}`);
}

function withoutCode(text: string): string {
  return text.replace(/^(```+|~~~+)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "");
}

/** What a "#" can name in a document: its headings as forges write them, and explicit ids. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.replace(/^(```+|~~~+)[\s\S]*?^\1/gm, "").matchAll(/^#+ +(.+)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
  const ids = [...text.matchAll(/<a id="([^"]+)">/g)].map((match) => match[1] ?? "");
  return new Set([...headings, ...ids]);
}

function unknownCommands({ path, text }: SourceFile, scripts: readonly string[]): string[] {
  const named = [...text.matchAll(/\bnpm (?:run ([\w:-]+)|(test)\b)/g)];
  return named
    .filter(([, script, shorthand]) => !scripts.includes(script ?? shorthand ?? ""))
    .map(([command]) => `${path}: ${command}`);
}

function nearestManifest(path: string): string {
  const folder = posix.dirname(path);
  const manifest = posix.join(folder, "package.json");
  return folder === "." || existsSync(join(repositoryRoot, manifest)) ? manifest : nearestManifest(folder);
}

function scriptsOf(manifest: string): string[] {
  const { scripts = {} } = JSON.parse(readFileSync(join(repositoryRoot, manifest), "utf8")) as {
    scripts?: Record<string, string>;
  };
  return Object.keys(scripts);
}
