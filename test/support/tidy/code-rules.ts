import ts from "typescript";
import type { SourceFile } from "../source-files.js";
import { isGenerated } from "../source-files.js";
import { parse } from "./module-graph.js";
import type { TidyViolation } from "./violation.js";

/** What the pure core must not read: it gets time and chance as arguments. */
const IMPURE = [
  "Date.now",
  "Math.random",
  "performance.now",
  "crypto.randomUUID",
  "process.env",
  "process.hrtime",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "randomUUID",
  "randomBytes",
  "randomInt",
  "fetch",
];

/** Checks what the code of the server and the SDK says, by its syntax tree. */
export function checkCode(files: readonly SourceFile[]): TidyViolation[] {
  return files
    .filter(({ path }) => /^(server|sdk\/typescript|test|bench)\/.*\.ts$/.test(path) && !isGenerated(path))
    .flatMap((file) => {
      const source = parse(file);
      return [...checkNodes(file.path, source), ...checkDocComments(file.path, source)];
    });
}

function checkNodes(path: string, source: ts.SourceFile): TidyViolation[] {
  const found: TidyViolation[] = [];
  const report = (rule: string, message: string, node: ts.Node): void => {
    const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    found.push({ rule, path, message: `line ${line}: ${message}` });
  };
  const visit = (node: ts.Node): void => {
    if (node.kind === ts.SyntaxKind.AnyKeyword) report("any", "name the type, or use unknown", node);
    if (readsEnvironment(node) && isServerBelowConfig(path)) {
      report("environment", "only server/config.ts reads the environment", node);
    }
    if (path.startsWith("server/core/") && isImpure(node))
      report("pure core", `the core must not use ${node.getText()}`, node);
    if (isConsole(node) && !/(^|\/)(cli|bench|examples)\//.test(path))
      report("console", "write to the log instead", node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isServerBelowConfig(path: string): boolean {
  return path.startsWith("server/") && path !== "server/config.ts";
}

function readsEnvironment(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) return node.getText() === "process.env";
  if (ts.isElementAccessExpression(node)) return node.expression.getText() === "process";
  if (ts.isVariableDeclaration(node)) return node.initializer?.getText() === "process";
  return ts.isImportDeclaration(node) && /^["'](node:)?process["']$/.test(node.moduleSpecifier.getText());
}

function isConsole(node: ts.Node): boolean {
  return ts.isPropertyAccessExpression(node) && node.expression.getText() === "console";
}

function isImpure(node: ts.Node): boolean {
  if (ts.isNewExpression(node)) return node.getText().startsWith("new Date(") && node.arguments?.length === 0;
  if (ts.isPropertyAccessExpression(node)) return IMPURE.includes(node.getText());
  return (
    ts.isCallExpression(node) && ts.isIdentifier(node.expression) && IMPURE.includes(node.expression.text)
  );
}

/** Every exported function, class, interface and constant of the product states its promise. */
function checkDocComments(path: string, source: ts.SourceFile): TidyViolation[] {
  if (!/^(server|sdk\/typescript\/src)\//.test(path)) return [];
  return source.statements
    .filter((statement) => isExported(statement) && needsDoc(statement) && !isDocumented(statement))
    .map((statement) => ({
      rule: "doc comment",
      path,
      message: `${nameOf(statement)} is exported without a doc comment`,
    }));
}

function isExported(statement: ts.Statement): boolean {
  const modifiers = ts.canHaveModifiers(statement) ? ts.getModifiers(statement) : undefined;
  return modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword) ?? false;
}

/** Of an overloaded function only the first signature needs a comment, which the others share. */
function needsDoc(statement: ts.Statement): boolean {
  if (ts.isFunctionDeclaration(statement)) {
    const siblings = (statement.parent as ts.SourceFile).statements;
    const first = siblings.find(
      (each) => ts.isFunctionDeclaration(each) && each.name?.text === statement.name?.text,
    );
    return first === statement;
  }
  return (
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isVariableStatement(statement)
  );
}

function isDocumented(statement: ts.Statement): boolean {
  return ts.getJSDocCommentsAndTags(statement).some((node) => ts.isJSDoc(node));
}

function nameOf(statement: ts.Statement): string {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations[0]?.name.getText() ?? "a constant";
  const declaration = statement as ts.FunctionDeclaration | ts.ClassDeclaration | ts.InterfaceDeclaration;
  return declaration.name?.text ?? "the default export";
}
