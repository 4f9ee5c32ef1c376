import { spawnSync } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the repository. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The environment in which the tools of node_modules are found by name. */
export function toolEnvironment() {
  const bin = join(root, "node_modules", ".bin");
  return { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` };
}

/**
 * Runs a tool to its end and returns its exit code and output. A tool that cannot be started counts
 * as code 127, with the reason as its output.
 */
export function runTool(command, args, { cwd = root } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env: toolEnvironment(),
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
  });
  if (result.error) return { code: 127, output: `${command}: ${result.error.message}\n`, stdout: "" };
  return { code: result.status ?? 128, output: `${result.stdout}${result.stderr}`, stdout: result.stdout };
}

/** Ends the process with the tool's output when the tool failed. */
export function mustRun(what, command, args, options) {
  const { code, output } = runTool(command, args, options);
  if (code === 0) return output;
  process.stderr.write(
    `${output.trimEnd()}\n\n${what} failed: ${command} ${args.join(" ")} (exit code ${code})\n`,
  );
  process.exit(1);
}

/** Runs npm: the one that started this process, or else the one on the PATH. */
export function mustRunNpm(what, args, options) {
  const npm = process.env.npm_execpath;
  if (npm?.endsWith(".js")) return mustRun(what, process.execPath, [npm, ...args], options);
  return mustRun(what, process.platform === "win32" ? "npm.cmd" : "npm", args, options);
}
