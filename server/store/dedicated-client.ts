import pg from "pg";
import { useClient, type Query } from "./client-work.js";
import { clientConfig, type ConnectionUse, type DatabaseConfig } from "./connection.js";
import { ConnectionLostError, isConnectionLost } from "./sql-errors.js";

/**
 * Connects, runs `work` as the only user of the connection, and disconnects. Rejects with
 * ConnectionLostError when the database cannot be reached or goes away.
 */
export async function withDedicatedClient<T>(
  config: DatabaseConfig,
  use: ConnectionUse,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(clientConfig(config, use));
  // Statements report a broken connection by themselves; without a listener it would end the process.
  client.on("error", () => undefined);
  try {
    await client.connect();
    return await useClient(client, false, work);
  } catch (error) {
    throw isConnectionLost(error) && !(error instanceof ConnectionLostError)
      ? new ConnectionLostError(error)
      : error;
  } finally {
    await client.end();
  }
}
