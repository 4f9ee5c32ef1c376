import { ScriptedServer } from "./scripted-server.js";

// Stands for the program `headrace`: says on standard error how it was called, then serves.
if (process.env["FAKE_HEADRACE_FAILS"] === "1") {
  process.stderr.write("the disk is full\n");
  process.exit(3);
}
const server = await ScriptedServer.start();
server.answers.set("PutWorkflow", () => ({
  name: process.argv.slice(2).join(" "),
  version: "1",
  created: true,
}));
process.on("SIGTERM", () => {
  server.close();
  process.exit(0);
});
process.stdout.write(`headrace: ready on ${server.address}\n`);
