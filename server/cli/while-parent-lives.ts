import type { Cli } from "./cli.js";

/**
 * Runs a command that is interrupted, as by Ctrl-C, when standard input closes: the pipe to a parent
 * closes however the parent ends, also by SIGKILL, which it cannot tell anybody about.
 */
export async function whileParentLives(cli: Cli, run: (around: Cli) => Promise<void>): Promise<void> {
  const { stdin, stderr } = cli;
  const gone = new AbortController();
  for (const event of ["end", "close", "error"]) stdin.once(event, () => gone.abort());
  stdin.resume();
  // The log has no reader then either, and what cannot be written must not keep the server from stopping.
  stderr.on("error", () => gone.abort());
  try {
    await run({ ...cli, interrupted: AbortSignal.any([cli.interrupted, gone.signal]) });
  } finally {
    // An open pipe would keep the process alive.
    stdin.destroy();
  }
}
