import { appendFileSync, existsSync } from "node:fs";

import { ScriptedServer } from "./scripted-server.js";

// Stands for the program `headrace`: says on standard error how it was called, then serves.
if (process.env["FAKE_HEADRACE_FAILS"] === "1") {
  process.stderr.write("the disk is full\n");
  process.exit(3);
}
// Another server has the data; its address is known from the second call on.
const inUse = process.env["FAKE_HEADRACE_IN_USE"];
if (inUse !== undefined) {
  const calls = process.env["FAKE_HEADRACE_CALLS"] ?? "";
  const where = existsSync(calls) ? `, which answers at ${inUse}` : "";
  appendFileSync(calls, "called\n");
  process.stderr.write(`error: .headrace is in use by process 1${where} (since today).\n`);
  process.exit(5);
}
const server = await ScriptedServer.start();
server.answers.set("PutWorkflow", () => ({
  name: process.argv.slice(2).join(" "),
  version: Object.keys(process.env)
    .filter((name) => name.startsWith("HEADRACE_"))
    .sort()
    .join(" "),
  created: true,
}));
process.on("SIGTERM", () => {
  server.close();
  process.exit(0);
});
process.stdout.write(`headrace: ready on ${server.address}\n`);
