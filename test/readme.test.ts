import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import test from "ava";
import { makeTestDirectory } from "./support/database.js";
import { CLI_PATH } from "./support/run-cli.js";
import { repositoryRoot } from "./support/source-files.js";

const run = promisify(execFile);
const text = readFileSync(join(repositoryRoot, "README.md"), "utf8");

/** A fenced block under a comment that says what it is for. */
interface Block {
  /** "run", "run beside", "output" or "file". */
  readonly purpose: string;
  readonly name: string;
  readonly language: string;
  readonly content: string;
}

const blocks: readonly Block[] = [
  ...text.matchAll(/^<!-- ([a-z ]+?)(?:: (\S+))? -->\n\n```(\w+)\n([\s\S]*?)^```$/gm),
].map(([, purpose = "", name = "", language = "", content = ""]) => ({ purpose, name, language, content }));

function block(purpose: string, name: string): Block {
  const found = blocks.filter((each) => each.purpose === purpose && each.name === name);
  if (found.length !== 1) throw new Error(`README.md has ${found.length} blocks "${purpose}: ${name}"`);
  return found[0]!;
}

const folder = await makeTestDirectory();

/** Runs a block as a reader would, in the folder of the repository. */
async function runBlock(name: string, env: Readonly<Record<string, string>>): Promise<string> {
  const { stdout } = await run("sh", ["-e", "-c", block("run", name).content], {
    cwd: name === "cli" ? folder : repositoryRoot,
    env: { PATH: process.env["PATH"] ?? "", HOME: folder, npm_config_update_notifier: "false", ...env },
    timeout: 55_000,
  });
  return stdout;
}

/** `headrace dev` as the README starts it, but on a free port and with data of its own. */
async function startServer(): Promise<{ address: string; stop: () => Promise<void> }> {
  const [program, ...args] = block("run beside", "").content.trim().split(" ").slice(1);
  if (program !== "headrace") throw new Error(`The README starts ${String(program)} as its server`);
  const dataDir = join(folder, "server");
  const child = spawn(process.execPath, [CLI_PATH, ...args, "--port", "0", "--data-dir", dataDir], {
    env: {},
    stdio: ["ignore", "pipe", "ignore"],
  });
  const closed = once(child, "close");
  const [ready] = (await once(createInterface(child.stdout), "line")) as [string];
  return {
    address: ready.split(" ").at(-1) ?? "",
    stop: async () => {
      child.kill("SIGTERM");
      await closed;
    },
  };
}

/** A line without what differs from run to run. */
function shapeOf(line: string): string {
  return line
    .replace(/^(A census of ).*/, "$1FOLDER")
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{16,32}\b/g, "ID")
    .replace(/[\d,.]*\d/g, "N")
    .replace(/-{3,}/g, "---")
    .replace(/\s+/g, " ")
    .trim();
}

/** The lines of an output but for the rows of its table, which change with the files. */
function shapesOf(output: string): string[] {
  const lines = output.split("\n").map(shapeOf);
  return lines.filter((line) => line !== "" && !/ N N N N N$/.test(line) && !line.startsWith(">"));
}

test.serial("the quickstart prints what the README shows", async (t) => {
  const stdout = await runBlock("quickstart", { HEADRACE_DATA_DIR: join(folder, "quickstart") });
  const shown = block("output", "quickstart").content;
  const printed = new Set(shapesOf(stdout));
  t.deepEqual(
    shapesOf(shown).filter((shape) => !printed.has(shape)),
    [],
  );
  t.regex(shown, /^ {2}total( +[\d,.]+){5}$/m);
  t.regex(stdout, /\nquickstart: COMPLETED \S+\n$/);
});

test.serial("the hello world is the SDK's example, and a server runs it", async (t) => {
  const example = block("file", "sdk/typescript/examples/hello.ts");
  t.is(example.content, readFileSync(join(repositoryRoot, example.name), "utf8"));
  t.true(example.content.split("\n").length <= 16, "it has at most 15 lines");
  const server = await startServer();
  try {
    const stdout = await runBlock("hello", { HEADRACE_ADDRESS: server.address });
    t.is(stdout, block("output", "hello").content);
  } finally {
    await server.stop();
  }
});

test.serial("the commands of the README answer what it shows", async (t) => {
  const workflow = block("file", "refund.json");
  t.notThrows(() => JSON.parse(workflow.content) as unknown);
  writeFileSync(join(folder, workflow.name), workflow.content);
  const npx = join(folder, "npx");
  // What npx finds in an installation: the program of this repository.
  writeFileSync(npx, `#!/bin/sh\nshift\nexec "${process.execPath}" "${CLI_PATH}" "$@"\n`, { mode: 0o755 });
  const version = await run("npx", ["headrace", "--version"], { cwd: repositoryRoot });
  t.regex(version.stdout, /^\d+\.\d+\.\d+\n$/, "npx finds the program in the folder of the repository");
  const server = await startServer();
  try {
    const env = { HEADRACE_ADDRESS: server.address, PATH: `${folder}:${process.env["PATH"] ?? ""}` };
    t.is(await runBlock("cli", env), block("output", "cli").content);
  } finally {
    await server.stop();
  }
});

test("every block of commands, code or data in the README is run or compared", (t) => {
  const fences = [...text.matchAll(/^```(\w+)$/gm)].map(([, language]) => language);
  t.deepEqual(
    fences,
    blocks.map(({ language }) => language),
  );
  const known = ["quickstart", "hello", "cli"];
  t.deepEqual(
    blocks.filter(({ purpose }) => purpose === "run").map(({ name }) => name),
    known,
  );
});
