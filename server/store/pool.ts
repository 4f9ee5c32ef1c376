import pg, { type PoolClient, type QueryResult, type QueryResultRow } from "pg";
import { HeadraceError } from "../core/errors.js";
import { useClient, type Query, type Statement } from "./client-work.js";
import { clientConfig, type DatabaseConfig } from "./connection.js";
import { ConnectionLostError, isConnectionLost, messageOf } from "./sql-errors.js";

/** Every statement has its index; a planner without statistics would rather read a table that grows. */
const POOL_SETTINGS = { enable_seqscan: "off" };

/** What pg-pool says when every connection stayed busy for too long. */
const POOL_BUSY = "timeout exceeded when trying to connect";

/** Connections for reads and for writes off the hot path. */
export class DatabasePool {
  readonly #pool: pg.Pool;
  readonly #config: DatabaseConfig;
  #isClosing = false;

  /** `log` hears of idle connections that broke; the pool replaces them by itself. */
  constructor(config: DatabaseConfig, log: (message: string) => void) {
    const settings = clientConfig(config, { purpose: "pool", settings: POOL_SETTINGS });
    this.#config = config;
    this.#pool = new pg.Pool({
      max: config.poolMax,
      min: Math.min(config.poolMin, config.poolMax),
      idleTimeoutMillis: config.idleTimeoutMs,
      maxLifetimeSeconds: Math.ceil((config.recycleMs ?? 0) / 1_000),
      connectionTimeoutMillis: config.acquireTimeoutMs,
      // The pool would give each client its own timeout, which is the one for waiting.
      Client: class extends pg.Client {
        constructor() {
          super(settings);
          // A connection may break between being lent and being used, when nobody else listens yet;
          // its first statement then rejects. Without a listener it would end the process.
          this.on("error", () => undefined);
        }
      },
    });
    this.#pool.on("error", (error) => {
      // PostgreSQL may end at the same time, before it has read the farewell.
      if (!this.#isClosing) log(`An idle database connection broke: ${messageOf(error)}`);
    });
  }

  /** One statement on any connection. Errors as for `withClient`. */
  query<R extends QueryResultRow = QueryResultRow>(
    statement: Statement,
    values?: readonly unknown[],
  ): Promise<QueryResult<R>> {
    return this.withClient((query) => query<R>(statement, values));
  }

  /**
   * Runs `work` as the only user of one connection. Rejects with OVERLOADED when none became free in
   * time, ConnectionLostError when PostgreSQL went away, and what `work` throws.
   */
  async withClient<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const client = await this.#acquire();
    // While a client is lent, its errors are ours; the statement that suffers from one rejects too.
    let broken: Error | undefined;
    const onError = (error: Error): void => {
      broken = error;
    };
    client.on("error", onError);
    try {
      return await useClient(client, false, work);
    } catch (error) {
      if (isConnectionLost(error)) broken = error as Error;
      throw error;
    } finally {
      client.off("error", onError);
      client.release(broken);
    }
  }

  /** Connections that are open, free, and callers that wait for one. */
  get usage(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    return { open: totalCount, idle: idleCount, waiting: waitingCount };
  }

  /** Resolves when every lent connection has come back and all are closed. */
  close(): Promise<void> {
    this.#isClosing = true;
    return this.#pool.end();
  }

  async #acquire(): Promise<PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      if (messageOf(error) === POOL_BUSY) throw this.#busy(error);
      throw isConnectionLost(error) ? new ConnectionLostError(error) : error;
    }
  }

  #busy(cause: unknown): HeadraceError {
    const { poolMax, acquireTimeoutMs } = this.#config;
    return new HeadraceError(
      "OVERLOADED",
      `All ${poolMax} database connections of the pool were busy for ${acquireTimeoutMs} ms.`,
      { limit: poolMax, retryAfterMs: acquireTimeoutMs, cause },
    );
  }
}
