// The quickstart: node run.js [folder]. Starts a server and two workers, takes a census of the code in the
// folder, prints it, and stops everything again. The last line says how it ended.
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { takeCensus } from "./take-census.js";

const USAGE = `npm run quickstart -- [folder]

Takes a census of the code in a folder (default: the current one) with a server and two workers of its own.
It counts the files that git tracks or, without git, all but those of node_modules, dist and hidden folders.`;

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

try {
  const { values, positionals } = readArguments();
  if (values.help === true) console.log(USAGE);
  // npm changes into the folder of the package, and tells where the user was.
  else await run(positionals[0] === undefined ? "." : resolve(process.env["INIT_CWD"] ?? "", positionals[0]));
} catch (error) {
  process.exitCode ??= 1;
  console.log(`quickstart: FAILED ${(error instanceof Error ? error.message : String(error)).trim()}`);
}

async function run(folder: string): Promise<void> {
  const stop = new AbortController();
  for (const [name, exitCode] of Object.entries(EXIT_CODES)) {
    process.on(name, () => {
      process.exitCode = exitCode;
      stop.abort(new Error(`stopped by ${name}`));
    });
  }
  // A pipe that closes, as with `| head`, is an interrupt too.
  process.stdout.on("error", (error) => stop.abort(error));
  const executionId = await takeCensus(resolve(folder), stop.signal);
  console.log(`quickstart: COMPLETED ${executionId}`);
}

function readArguments() {
  process.exitCode = 2;
  const read = parseArgs({ allowPositionals: true, options: { help: { type: "boolean", short: "h" } } });
  if (read.positionals.length > 1) throw new Error(`one folder is expected, not ${read.positionals.length}`);
  process.exitCode = undefined;
  return read;
}
