import { basename, extname } from "node:path";

const EXTENSIONS: Readonly<Record<string, string>> = {
  C: "c h",
  "C++": "cc cpp cxx hh hpp hxx",
  "C#": "cs",
  CSS: "css scss sass less",
  Elixir: "ex exs",
  Go: "go",
  Haskell: "hs",
  HTML: "html htm",
  Image: "png jpg jpeg gif svg ico webp",
  Java: "java",
  JavaScript: "js mjs cjs jsx",
  JSON: "json jsonl",
  Kotlin: "kt kts",
  Lua: "lua",
  Markdown: "md mdx",
  PHP: "php",
  "Protocol Buffers": "proto",
  Python: "py pyi",
  Ruby: "rb",
  Rust: "rs",
  Scala: "scala",
  Shell: "sh bash zsh",
  SQL: "sql",
  Swift: "swift",
  Text: "txt rst adoc",
  TOML: "toml",
  TypeScript: "ts mts cts tsx",
  XML: "xml",
  YAML: "yaml yml",
};

const LANGUAGE_OF = new Map(
  Object.entries(EXTENSIONS).flatMap(([language, all]) =>
    all.split(" ").map((each) => [`.${each}`, language]),
  ),
);

/** The language that the name of a file tells; "Other" when it tells none. */
export function languageOf(path: string): string {
  if (/^(docker|container)file/i.test(basename(path))) return "Dockerfile";
  if (/^makefile$/i.test(basename(path))) return "Makefile";
  return LANGUAGE_OF.get(extname(path).toLowerCase()) ?? "Other";
}
