import type { ServerParts } from "../main.js";

/** Loads what the commands of the server start: PostgreSQL drivers, the engine and the transports. */
export async function loadServerParts(): Promise<ServerParts> {
  const { serverParts } = await import("../main.js");
  return serverParts;
}
