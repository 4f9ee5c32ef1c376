import type { Environment } from "../config.js";
import type { ServerParts } from "../main.js";

/** What a command has of the process around it. */
export interface Cli {
  readonly env: Environment;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly interrupted: AbortSignal;
  /** What the commands of the server start; most commands never load it. */
  loadServerParts(): Promise<ServerParts>;
}
