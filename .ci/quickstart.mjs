// npm run quickstart: sets up, then runs the census example on this repository, or on the folder given.
import { join } from "node:path";
import { root } from "./process.mjs";
import { setUp } from "./setup.mjs";

// Whatever ends the set-up, the last line still says so.
const onEarlyExit = () => process.stdout.write("quickstart: FAILED in the set-up\n");
process.once("exit", onEarlyExit);
await setUp();
process.off("exit", onEarlyExit);
process.env.HEADRACE_BIN = join(root, "dist/server/cli/main.js");
await import("../sdk/typescript/dist-test/examples/census/run.js");
