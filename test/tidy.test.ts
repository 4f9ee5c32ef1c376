import test from "ava";
import { readSourceFiles, type SourceFile } from "./support/source-files.js";
import { findCycles } from "./support/tidy/module-graph.js";
import { findViolations } from "./support/tidy/find-violations.js";

/** Why these files are longer than 300 lines. */
const LONG_FILES: Readonly<Record<string, string>> = {
  "server/engine/api.ts": "the engine's whole interface, read in one place by every transport",
  "proto/headrace/v1/execution_service.proto": "one service with its requests and responses",
  "proto/headrace/v1/worker_service.proto": "one service; the stream's messages belong together",
};

test("the repository follows its own rules", (t) => {
  const files = readSourceFiles();
  t.true(files.length > 50, "the files of the repository are read");
  const violations = findViolations(files, LONG_FILES);
  for (const { rule, path, message } of violations) t.log(`${path}: ${rule}: ${message}`);
  t.is(violations.length, 0, "the log lists them");
});

/** The rules that a set of made-up files breaks, without those that small sets always break. */
function rulesBrokenBy(...planted: [path: string, text: string][]): string[] {
  const files: SourceFile[] = planted.map(([path, text]) => ({ path, text }));
  const rules = findViolations(files).filter(({ rule }) => rule !== "dead file");
  return rules.map(({ rule, path }) => `${rule} ${path}`);
}

const doc = "/** Says what it promises. */\n";

const forbiddenImports: [from: string, statement: string][] = [
  ["server/core/plan.ts", 'import { x } from "../engine/api.js";'],
  ["server/core/plan.ts", 'import type { X } from "../engine/api.js";'],
  ["server/core/plan.ts", 'export { x } from "../store/rows.js";'],
  ["server/engine/commit.ts", 'import { x } from "../store/rows.js";'],
  ["server/engine/commit.ts", 'import { x } from "../transport/server.js";'],
  ["server/store/rows.ts", 'import { x } from "../transport/server.js";'],
  ["server/store/rows.ts", 'import { x } from "../gen/headrace/v1/payload_pb.js";'],
  ["server/transport/server.ts", 'import { x } from "../store/rows.js";'],
  ["server/transport/server.ts", 'import { x } from "../http/health.js";'],
  ["server/http/health.ts", 'import { x } from "../transport/server.js";'],
  ["server/http/health.ts", 'import { x } from "../config.js";'],
  ["server/telemetry/tracer.ts", 'import { x } from "../store/rows.js";'],
  ["server/config.ts", 'import { x } from "./engine/api.js";'],
  ["server/main.ts", 'import { x } from "./cli/serve.js";'],
  ["server/cli/serve.ts", 'import { x } from "../store/rows.js";'],
  ["server/cli/serve.ts", 'await import("../store/rows.js");'],
  ["server/ui/app.ts", 'import { x } from "../core/plan.js";'],
  ["server/core/plan.ts", 'import { x } from "../../test/support/y.js";'],
  ["sdk/typescript/src/worker.ts", 'import { x } from "../../../server/core/plan.js";'],
];

for (const [from, statement] of forbiddenImports) {
  test(`the import rule refuses in ${from}: ${statement}`, (t) => {
    t.deepEqual(rulesBrokenBy([from, statement]), [`import ${from}`]);
  });
}

const forbiddenPackages: [from: string, name: string][] = [
  ["server/engine/commit.ts", "pg"],
  ["server/transport/server.ts", "pg"],
  ["server/main.ts", "knex"],
  ["server/store/rows.ts", "@grpc/grpc-js"],
  ["server/engine/commit.ts", "@grpc/grpc-js"],
  ["server/http/health.ts", "@grpc/grpc-js"],
  ["server/core/plan.ts", "node:fs"],
  ["server/core/plan.ts", "fs"],
  ["server/core/plan.ts", "lru-cache"],
  ["server/engine/commit.ts", "node:net"],
  ["server/engine/commit.ts", "pino"],
];

for (const [from, name] of forbiddenPackages) {
  test(`the import rule refuses in ${from} the package ${name}`, (t) => {
    t.deepEqual(rulesBrokenBy([from, `import { x } from "${name}";`]), [`package ${from}`]);
  });
}

test("what the import rule allows passes", (t) => {
  const allowed: [string, string][] = [
    [
      "server/core/plan.ts",
      'import { x } from "./graph.js";\nimport { createHash } from "node:crypto";\nimport { Ajv } from "ajv";',
    ],
    [
      "server/engine/commit.ts",
      'import { x } from "../core/plan.js";\nimport { LRUCache } from "lru-cache";',
    ],
    ["server/store/rows.ts", 'import pg from "pg";\nimport type { Store } from "../engine/store.js";'],
    [
      "server/transport/server.ts",
      'import * as grpc from "@grpc/grpc-js";\nimport { x } from "../gen/a_pb.js";',
    ],
    ["server/main.ts", 'import { x } from "./store/rows.js";\nimport { y } from "./transport/server.js";'],
    ["server/cli/serve.ts", 'import { x } from "../main.js";\nimport { y } from "./output.js";'],
    ["test/store/rows.test.ts", 'import pg from "pg";\nimport { x } from "../../server/store/rows.js";'],
  ];
  t.deepEqual(rulesBrokenBy(...allowed), []);
});

test("a package that users do not get is refused in the server, not in tests", (t) => {
  const manifest: [string, string] = [
    "package.json",
    '{"dependencies":{"ajv":"8.0.0"},"devDependencies":{"ava":"7.0.0"}}',
  ];
  t.deepEqual(rulesBrokenBy(manifest, ["server/store/rows.ts", 'import "ava";']), [
    "package server/store/rows.ts",
  ]);
  t.deepEqual(rulesBrokenBy(manifest, ["server/store/rows.ts", 'import "ajv/dist/2020.js";']), []);
  t.deepEqual(rulesBrokenBy(manifest, ["server/store/rows.ts", 'import type { X } from "ava";']), []);
  t.deepEqual(rulesBrokenBy(manifest, ["test/a.test.ts", 'import "ava";']), []);
});

test("import cycles are found; types and deferred imports make none", (t) => {
  const cycle: [string, string][] = [
    ["server/core/a.ts", 'import { b } from "./b.js";'],
    ["server/core/b.ts", 'import { c } from "./c.js";'],
    ["server/core/c.ts", 'import { a } from "./a.js";\nimport { d } from "./d.js";'],
    ["server/core/d.ts", ""],
  ];
  t.deepEqual(rulesBrokenBy(...cycle), ["cycle server/core/a.ts"]);
  const byType: [string, string][] = [
    ["server/core/a.ts", 'import { b } from "./b.js";'],
    ["server/core/b.ts", 'import type { A } from "./a.js";'],
  ];
  t.deepEqual(rulesBrokenBy(...byType), []);
  const deferred: [string, string][] = [
    ["server/cli/a.ts", 'const load = () => import("./b.js");'],
    ["server/cli/b.ts", 'import { a } from "./a.js";'],
  ];
  t.deepEqual(rulesBrokenBy(...deferred), []);
  t.deepEqual(rulesBrokenBy(["server/core/a.ts", 'import "./a.js";']), ["cycle server/core/a.ts"]);
});

test("the search for cycles separates those that touch", (t) => {
  const edges = new Map([
    ["a", ["b"]],
    ["b", ["a", "c"]],
    ["c", ["d"]],
    ["d", ["e"]],
    ["e", ["c"]],
    ["f", ["a"]],
  ]);
  t.deepEqual(
    findCycles(edges).toSorted((x, y) => (x.join() < y.join() ? -1 : 1)),
    [
      ["a", "b"],
      ["c", "d", "e"],
    ],
  );
});

test("a file of the server that only tests import is dead", (t) => {
  const files: SourceFile[] = [
    { path: "server/main.ts", text: 'import { x } from "./core/used.js";' },
    { path: "server/core/used.ts", text: "" },
    { path: "server/core/unused.ts", text: "" },
    { path: "server/gen/unused_pb.ts", text: "" },
    { path: ".gitattributes", text: "server/gen/** linguist-generated=true" },
    { path: "test/core/unused.test.ts", text: 'import { x } from "../../server/core/unused.js";' },
  ];
  t.deepEqual(
    findViolations(files).map(({ rule, path }) => `${rule} ${path}`),
    ["dead file server/core/unused.ts"],
  );
});

/** Words are put together where they are planted, so that this file does not break the rules itself. */
function spliced(...parts: string[]): string {
  return parts.join("");
}

const plantedTexts: [rule: string, path: string, text: string][] = [
  ["any", "server/core/a.ts", "const a: any = 1;"],
  ["any", "test/a.test.ts", "const a = b as any;"],
  ["environment", "server/store/pool.ts", "const url = process.env.URL;"],
  ["environment", "server/store/pool.ts", 'const url = process["env"].URL;'],
  ["environment", "server/store/pool.ts", "const { env } = process;"],
  ["environment", "server/cli/serve.ts", 'import { env } from "node:process";'],
  ["pure core", "server/core/a.ts", "const now = Date.now();"],
  ["pure core", "server/core/a.ts", "const now = new Date();"],
  ["pure core", "server/core/a.ts", "const chance = Math.random();"],
  ["pure core", "server/core/a.ts", "setTimeout(f, 1);"],
  ["pure core", "server/core/a.ts", 'import { randomUUID } from "node:crypto";\nconst id = randomUUID();'],
  ["console", "server/engine/a.ts", 'console.log("x");'],
  ["console", "test/a.test.ts", 'console.error("x");'],
  ["unfinished", "server/core/a.ts", spliced("// TO", "DO: later")],
  ["unfinished", "CHANGELOG.md", spliced("FIX", "ME")],
  ["unfinished", "server/store/a.sql", spliced("-- XX", "X")],
  ["only", "test/a.test.ts", spliced("test.on", 'ly("x", f);')],
  ["ignored type error", "server/core/a.ts", spliced("// @ts-", "ignore")],
  ["machine path", "README.md", spliced("see /ro", "ot/project")],
  ["machine path", ".ci/run", spliced("cd /wo", "rk/main")],
  ["registry host", "package-lock.json", spliced('{"packages":{"":{"name":"registry.', 'npmjs.org"}}}')],
  ["doc comment", "server/core/a.ts", "export function f(): void {}"],
  ["doc comment", "server/core/a.ts", "// Not a doc comment.\nexport class A {}"],
  ["doc comment", "server/core/a.ts", "export interface A { readonly a: string }"],
  ["doc comment", "sdk/typescript/src/a.ts", "export const a = 1;"],
  ["vague name", "server/core/utils.ts", ""],
  ["vague name", "server/engine/session-manager.ts", ""],
  ["vague name", "test/common/a.ts", ""],
  ["vague name", "sdk/python/headrace/types.py", ""],
  ["file name", "server/core/workflowSpec.ts", ""],
  ["file size", "server/core/a.ts", "\n".repeat(301)],
  ["file size", "server/core/a.ts", "\n".repeat(501)],
  ["file size", "test/a.test.ts", "\n".repeat(801)],
  ["top level", "docs", ""],
  ["top level", "eslint.config.js", ""],
  ["generated", "sdk/go/gen/a.go", ""],
  ["generated", "server/core/a.ts", "// @generated by a tool"],
  [
    "lockfile",
    "package-lock.json",
    '{"packages":{"node_modules/a":{"integrity":"x","resolved":"https://host/a.tgz"}}}',
  ],
  [
    "lockfile",
    "package-lock.json",
    '{"packages":{"node_modules/a":{"integrity":"x","optionalDependencies":{"b":"1.0.0"}}}}',
  ],
  ["lockfile", "package-lock.json", '{"packages":{"node_modules/a":{}}}'],
  [
    "lockfile",
    "package-lock.json",
    '{"packages":{"":{"devDependencies":{"a":"^1.0.0"}},"node_modules/a":{"integrity":"x"}}}',
  ],
];

const marks: [string, string] = [".gitattributes", "package-lock.json linguist-generated=true"];

for (const [index, [rule, path, text]] of plantedTexts.entries()) {
  test(`planted violation ${index + 1} is found: ${rule} in ${path}`, (t) => {
    t.deepEqual(rulesBrokenBy(marks, [path, text]), [`${rule} ${path}`]);
  });
}

test("what looks like a violation and is none passes", (t) => {
  const clean: [string, string][] = [
    marks,
    ["server/config.ts", `${doc}export const config = process.env;`],
    ["server/cli/serve.ts", 'console.log("ready");'],
    ["bench/load.ts", 'console.log("done");\nconst now = Date.now();'],
    [
      "server/core/a.ts",
      `${doc}export function f(nowMs: number): Date { return new Date(nowMs); }\nexport type A = string;`,
    ],
    [
      "server/core/b.ts",
      `${doc}export function g(a: 1): 1;\nexport function g(a: 2): 2;\nexport function g(a: number): number { return a; }`,
    ],
    [
      "server/engine/a.ts",
      '/** Not "any", and process.env is a text. */\nconst a = "process.env any console.log";',
    ],
    ["server/docs/states.md", "a framework/main and ./work/a"],
    [
      "package-lock.json",
      '{"packages":{"":{"dependencies":{"a":"1.0.0"}},"node_modules/a":{"version":"1.0.0","integrity":"x","dependencies":{"b":"^2.0.0"}},"node_modules/a/node_modules/b":{"integrity":"y"}}}',
    ],
  ];
  t.deepEqual(rulesBrokenBy(...clean), []);
});

test("a long file passes with a reason, and the reason goes when the file is short", (t) => {
  const path = "server/main.ts";
  const reasons = { [path]: "it is one table" };
  t.deepEqual(findViolations([{ path, text: "\n".repeat(400) }], reasons), []);
  t.is(findViolations([{ path, text: "\n".repeat(200) }], reasons)[0]?.rule, "file size");
  t.is(findViolations([{ path, text: "\n".repeat(501) }], reasons)[0]?.rule, "file size");
});
