import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { backoffMs } from "./backoff.js";
import { clientConfig, schemaOf, type DatabaseConfig } from "./connection.js";
import { messageOf } from "./sql-errors.js";

/** What to listen for, and whom to tell. */
export interface ListenerOptions {
  /** Names of channels; each is kept apart by the schema. */
  readonly channels: readonly string[];
  readonly onNotify: (channel: string, payload: string) => void;
  /** Called after each (re)connection: what was sent meanwhile is lost, so look again. */
  readonly onConnected: () => void;
  readonly log: (message: string) => void;
  /** False: never connects, and `notify` does nothing. Default: true. */
  readonly enabled?: boolean;
  /** How often a connection must prove that it is alive. Default: 10 s. */
  readonly heartbeatMs?: number;
  /** How long the proof may take. Default: 5 s. */
  readonly answerTimeoutMs?: number;
}

/** Wakes other replicas. Only ever makes things faster: whatever is announced is also polled for. */
export interface Listener {
  readonly connected: boolean;
  /** True when PostgreSQL has taken it. Never rejects for a lost connection; the payload is short. */
  notify(channel: string, payload: string): Promise<boolean>;
  close(): Promise<void>;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
const HEARTBEAT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** PostgreSQL refuses 8,000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_999;

/** Starts to listen, on one connection of its own, until it is closed. Throws when the URL is not valid. */
export function openListener(config: DatabaseConfig, options: ListenerOptions): Listener {
  return new ReconnectingListener(config, options);
}

class ReconnectingListener implements Listener {
  readonly #settings: pg.ClientConfig;
  readonly #prefix: string;
  readonly #options: ListenerOptions;
  readonly #closing = new AbortController();
  readonly #loop: Promise<void>;
  #client: pg.Client | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(config: DatabaseConfig, options: ListenerOptions) {
    this.#settings = {
      ...clientConfig(config, { purpose: "listen" }),
      query_timeout: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
    };
    this.#prefix = `${schemaOf(config)}.`;
    this.#options = options;
    this.#loop = options.enabled === false ? Promise.resolve() : this.#keepListening();
  }

  get connected(): boolean {
    return this.#client !== undefined;
  }

  async notify(channel: string, payload: string): Promise<boolean> {
    const bytes = Buffer.byteLength(payload);
    if (bytes > MAX_PAYLOAD_BYTES)
      throw new RangeError(`A payload of ${bytes} bytes is too long to announce`);
    try {
      const client = this.#client;
      if (client === undefined) return false;
      await this.#ask(client, "select pg_notify($1, $2)", [this.#prefix + channel, payload]);
      return true;
    } catch {
      // The loop has seen it too and connects again; receivers poll meanwhile.
      return false;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#loop;
  }

  async #keepListening(): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      await pause(backoffMs(failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS), this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      const reason = await this.#listenOnce(() => {
        failures = 0;
      });
      if (reason !== undefined) this.#options.log(`Notifications are interrupted: ${reason}`);
    }
  }

  /** Listens until the connection ends or `close` is called. Answers why it ended. */
  async #listenOnce(onSuccess: () => void): Promise<string | undefined> {
    const client = new pg.Client(this.#settings);
    const over = new AbortController();
    let reason: string | undefined;
    const end = (why: string | undefined): void => {
      reason ??= why;
      over.abort();
    };
    client.on("error", (error) => end(messageOf(error)));
    client.on("end", () => end("the connection ended"));
    client.on("notification", ({ channel, payload }) => this.#receive(channel, payload ?? ""));
    this.#closing.signal.addEventListener("abort", () => end(undefined), { signal: over.signal });
    try {
      await client.connect();
      for (const channel of this.#options.channels) {
        await client.query(`listen ${client.escapeIdentifier(this.#prefix + channel)}`);
      }
      this.#client = client;
      onSuccess();
      this.#options.onConnected();
      await this.#beat(client, over.signal);
    } catch (error) {
      end(messageOf(error));
    }
    this.#client = undefined;
    // Not awaited: on a line that fell silent the farewell takes long. It never rejects.
    void client.end();
    return reason;
  }

  /** A line that fell silent shows only when something is asked. Returns when `signal` aborts. */
  async #beat(client: pg.Client, signal: AbortSignal): Promise<void> {
    const everyMs = this.#options.heartbeatMs ?? HEARTBEAT_MS;
    for (;;) {
      await pause(everyMs, signal);
      if (signal.aborted) return;
      await this.#ask(client, "select 1");
    }
  }

  /** pg wants to see a statement only when the one before is answered. */
  #ask(client: pg.Client, text: string, values: unknown[] = []): Promise<unknown> {
    const answer = this.#last.then(() => client.query(text, values));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  #receive(channel: string, payload: string): void {
    this.#options.onNotify(channel.slice(this.#prefix.length), payload);
  }
}

/** Resolves after that time or when the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  // The only way for it to reject is the abort.
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
