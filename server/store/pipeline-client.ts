import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { backoffMs } from "./backoff.js";
import { useClient, type Query } from "./client-work.js";
import { clientConfig, type DatabaseConfig } from "./connection.js";
import { ConnectionLostError, isConnectionLost } from "./sql-errors.js";

const FIRST_BACKOFF_MS = 25;
const MAX_BACKOFF_MS = 1_000;

/**
 * Statements on hot tables find their rows by primary key. The planner, whose statistics lag behind
 * a growing table, must not think of another way.
 */
const HOT_SETTINGS = {
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  enable_bitmapscan: "off",
};

/** What kind of connection to open. */
export interface PipelineOptions {
  /** Tells this connection from others in pg_stat_activity. */
  readonly purpose: string;
  /** Plans that do not depend on statistics. */
  readonly hot?: boolean;
}

/** One dedicated connection. */
export interface PipelineConnection {
  /**
   * Runs `work` as the only user of the connection; runs queue up in order of their calls. Inside,
   * statements that are sent without waiting travel together. Connects first when there is no
   * connection, after at most one second of back-off. Rejects with ConnectionLostError when the
   * connection broke: a COMMIT that was on its way may have happened.
   */
  run<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Lets the runs so far end, then disconnects. Later runs reject. */
  close(): Promise<void>;
}

/** A connection that opens with its first use. Throws DATABASE_UNUSABLE when the URL is not valid. */
export function openPipeline(config: DatabaseConfig, options: PipelineOptions): PipelineConnection {
  const settings = {
    ...clientConfig(config, {
      purpose: options.purpose,
      ...(options.hot === true ? { settings: HOT_SETTINGS } : {}),
    }),
    pipeline: config.pipeline,
  };
  return new ReconnectingClient(settings);
}

class ReconnectingClient implements PipelineConnection {
  readonly #settings: pg.ClientConfig & { readonly pipeline: boolean };
  #client: pg.Client | undefined;
  #failures = 0;
  #closed = false;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(settings: pg.ClientConfig & { readonly pipeline: boolean }) {
    this.#settings = settings;
  }

  run<T>(work: (query: Query) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new ConnectionLostError("it was closed by this process"));
    const turn = this.#tail.then(() => this.#runNow(work));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
    await this.#client?.end();
    this.#client = undefined;
  }

  async #runNow<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const client = this.#client ?? (await this.#connect());
    try {
      return await useClient(client, this.#settings.pipeline, work);
    } catch (error) {
      if (isConnectionLost(error)) this.#drop(client);
      throw error;
    }
  }

  async #connect(): Promise<pg.Client> {
    await sleep(backoffMs(this.#failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS));
    const client = new pg.Client(this.#settings);
    // Also hears of a connection that breaks between two runs.
    client.on("error", () => {
      if (this.#client === client) this.#client = undefined;
    });
    try {
      await client.connect();
    } catch (error) {
      this.#failures += 1;
      void client.end();
      throw isConnectionLost(error) ? new ConnectionLostError(error) : error;
    }
    this.#failures = 0;
    this.#client = client;
    return client;
  }

  /** A session that PostgreSQL is ending may still answer; its socket is closed from this side too. */
  #drop(client: pg.Client): void {
    if (this.#client === client) this.#client = undefined;
    // Not awaited: on a line that fell silent the farewell takes long. It never rejects.
    void client.end();
  }
}
