import { performance } from "node:perf_hooks";

import { backoffMs } from "./backoff.js";
import type { Connection } from "./connection.js";
import { pause } from "./connection.js";
import { Deferred, settlesWithin } from "./deferred.js";
import { HeadraceError } from "./errors.js";
import type { ConnectResponse, Hello, Welcome } from "./gen/headrace/v1/worker_service_pb.js";
import { WorkerStream } from "./worker-stream.js";

/** A stream whose server does not answer the hello in this time is given up. */
const WELCOME_WITHIN_MS = 10_000;
/** A stream that was welcome for so long is sound: the reconnect after it is immediate again. */
const SOUND_AFTER_MS = 1_000;
const HALF_CLOSE_WITHIN_MS = 1_000;

/** Who speaks on the streams. */
export interface StreamUser {
  /** The first message of the next stream. */
  hello(): Hello;
  /** The server has answered the hello; from now on the stream is the keeper's current one. */
  welcome(welcome: Welcome): void;
  /** Any later message. */
  message(message: ConnectResponse["message"]): void;
  /** What was blocked can be sent now. */
  writable(): void;
  /** The current stream is gone. */
  lost(): void;
  warn(message: string): void;
}

interface StreamEnd {
  readonly error: HeadraceError | undefined;
  /** The server had answered the hello. */
  readonly welcome: boolean;
  readonly sound: boolean;
}

/** Keeps one worker stream open: connects again after every end until it is stopped. */
export class StreamKeeper {
  readonly #connection: Connection;
  readonly #user: StreamUser;
  readonly #opened = new Deferred<undefined>();
  readonly #stopped = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #stream: WorkerStream | undefined;
  #welcomedAtMs: number | undefined;
  #everWelcome = false;

  constructor(connection: Connection, user: StreamUser) {
    this.#connection = connection;
    this.#user = user;
  }

  /** The stream that the server has welcomed; undefined while there is none. */
  get current(): WorkerStream | undefined {
    return this.#welcomedAtMs === undefined ? undefined : this.#stream;
  }

  /** Resolves with the first welcome. Rejects when the server refuses the hello, or does not answer in time. */
  async open(): Promise<void> {
    this.#loop = this.#keepConnected();
    if (await settlesWithin(this.#opened.promise, this.#connection.callTimeoutMs)) return;
    await this.stop();
    throw new HeadraceError(
      "SERVER_UNREACHABLE",
      `The server at ${this.#connection.address} does not answer`,
      {
        retryable: true,
        remedy: "Look at the log of the server; its health service tells whether it is ready.",
      },
    );
  }

  /** Ends the stream, in the orderly way if the server is there, and connects no more. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#stream?.halfClose();
    if (!(await settlesWithin(this.#loop, HALF_CLOSE_WITHIN_MS))) this.#stream?.cancel();
    await this.#loop;
  }

  async #keepConnected(): Promise<void> {
    // Connects in a row that failed, and streams in a row that broke soon after their welcome.
    let failed = 0;
    let shaky = 0;
    while (!this.#isStopped()) {
      const { error, welcome, sound } = await this.#connectOnce();
      if (this.#isStopped()) return;
      if (!this.#everWelcome && error?.retryable === false) {
        this.#opened.reject(error);
        return;
      }
      failed = welcome ? 0 : failed + 1;
      shaky = sound ? 0 : shaky + (welcome ? 1 : 0);
      if (welcome && error !== undefined) this.#tellBroken(error);
      // The first reconnect is immediate: leases outlive a closed socket by about a second only.
      if (failed + shaky > 0) await this.#pause(backoffMs(failed + shaky - 1));
    }
  }

  #tellBroken(error: HeadraceError): void {
    if (error.reason === "DRAINING") return;
    this.#user.warn(
      `Headrace: the worker stream to ${this.#connection.address} broke and is resumed: ${error.message}`,
    );
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  async #pause(ms: number): Promise<void> {
    // Rejects only when the keeper is stopped, which its loop sees by itself.
    await pause(ms, this.#stopped.signal).catch(() => undefined);
  }

  #connectOnce(): Promise<StreamEnd> {
    return new Promise((resolve) => {
      const welcomeTimer = setTimeout(() => stream.cancel(), WELCOME_WITHIN_MS);
      const stream = new WorkerStream(this.#connection, {
        message: (message) => {
          clearTimeout(welcomeTimer);
          this.#receive(message);
        },
        writable: () => {
          if (this.current !== undefined) this.#user.writable();
        },
        ended: (error) => {
          clearTimeout(welcomeTimer);
          const welcome = this.#welcomedAtMs !== undefined;
          const sound = performance.now() - (this.#welcomedAtMs ?? Infinity) >= SOUND_AFTER_MS;
          this.#stream = undefined;
          this.#welcomedAtMs = undefined;
          this.#user.lost();
          resolve({ error, welcome, sound });
        },
      });
      this.#stream = stream;
      stream.send({ case: "hello", value: this.#user.hello() });
    });
  }

  #receive(message: ConnectResponse["message"]): void {
    if (message.case !== "welcome") {
      this.#user.message(message);
      return;
    }
    this.#everWelcome = true;
    this.#welcomedAtMs = performance.now();
    this.#user.welcome(message.value);
    this.#opened.resolve(undefined);
  }
}
