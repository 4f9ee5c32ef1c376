import { posix } from "node:path";
import ts from "typescript";
import type { SourceFile } from "../source-files.js";

/** One import, export-from or import() of a module. */
export interface ModuleImport {
  readonly from: string;
  /** Path of a file of the repository, or the bare specifier of a package. */
  readonly target: string;
  readonly isRelative: boolean;
  /** Whether it leaves no trace in the compiled code. */
  readonly isTypeOnly: boolean;
  /** Whether it happens when the code runs, by import(), not when the module loads. */
  readonly isDeferred: boolean;
}

/** Parses a TypeScript source without resolving anything. */
export function parse(file: SourceFile): ts.SourceFile {
  return ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2023, true);
}

/** Lists what a module imports, with import() and import types. */
export function importsOf(source: ts.SourceFile): ModuleImport[] {
  const found: ModuleImport[] = [];
  const add = (specifier: ts.Node | undefined, isTypeOnly: boolean, isDeferred = false): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const isRelative = specifier.text.startsWith(".");
    const target = isRelative ? resolve(source.fileName, specifier.text) : specifier.text;
    found.push({ from: source.fileName, target, isRelative, isTypeOnly, isDeferred });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnlyImport(node));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false, true);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isTypeOnlyImport(node: ts.ImportDeclaration): boolean {
  return node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

function resolve(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, ".ts");
}

/** The cycles of a graph: each group of files that reach one another, in the order of their names. */
export function findCycles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const search = new CycleSearch(edges);
  return [...edges.keys()].flatMap((node) => search.from(node)).map((cycle) => cycle.toSorted());
}

/** Tarjan's search for strongly connected components. */
class CycleSearch {
  readonly #edges: ReadonlyMap<string, readonly string[]>;
  readonly #index = new Map<string, number>();
  readonly #stack: string[] = [];
  #found: string[][] = [];

  constructor(edges: ReadonlyMap<string, readonly string[]>) {
    this.#edges = edges;
  }

  /** The cycles that can be reached from a node and were not found before. */
  from(node: string): string[][] {
    this.#found = [];
    if (!this.#index.has(node)) this.#visit(node);
    return this.#found;
  }

  /** Answers the smallest index on the stack that the node reaches. */
  #visit(node: string): number {
    const index = this.#index.size;
    this.#index.set(node, index);
    this.#stack.push(node);
    const targets = this.#edges.get(node) ?? [];
    let low = index;
    for (const target of targets) {
      const known = this.#index.get(target);
      if (known === undefined) low = Math.min(low, this.#visit(target));
      else if (this.#stack.includes(target)) low = Math.min(low, known);
    }
    if (low < index) return low;
    const component = this.#stack.splice(this.#stack.indexOf(node));
    if (component.length > 1 || targets.includes(node)) this.#found.push(component);
    return low;
  }
}
