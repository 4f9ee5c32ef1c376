// npm run docs: writes the generated parts of the documents anew.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./process.mjs";
import { setUp } from "./setup.mjs";

await setUp();
const generator = pathToFileURL(join(root, "dist/test/support/generated-docs.js")).href;
const { rewriteDocs } = await import(generator);
for (const path of rewriteDocs(root)) process.stdout.write(`${path} rewritten\n`);
