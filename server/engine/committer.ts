import { setTimeout as delay } from "node:timers/promises";
import { HeadraceError } from "../core/errors.js";
import { CommitError } from "./commit-store.js";
import { LaneTransaction, refusal, rejectAll, type LaneContext } from "./lane.js";
import { commandBytes, executionIdOf, type EngineCommand } from "./request.js";

/** Bounds of the committer. */
export interface CommitterOptions {
  readonly lanes: number;
  readonly batchCommands: number;
  readonly batchBytes: number;
  /** More waiting commands, or bytes of them, than this are refused. */
  readonly waitingCommands: number;
  readonly waitingBytes: number;
}

/** Bounds that hold a batch to some 10 MB and a few ms. */
export const DEFAULT_COMMITTER_OPTIONS: CommitterOptions = {
  lanes: 2,
  batchCommands: 1_000,
  batchBytes: 8 * 1024 * 1024,
  waitingCommands: 200_000,
  waitingBytes: 256 * 1024 * 1024,
};

/** How often a batch whose transaction failed is run again before its callers are told. */
const TRIES = 8;

/**
 * The only writer of execution state. A lane takes all commands that wait for it and commits them in
 * one transaction; while that is in flight the next batch collects, so batches grow with load and an
 * idle server commits at once. An execution always goes to the same lane.
 */
export class Committer {
  readonly #context: LaneContext;
  readonly #options: CommitterOptions;
  readonly #waiting: EngineCommand[][];
  readonly #busy: boolean[];
  #waitingCount = 0;
  #waitingBytes = 0;
  #idle: Array<() => void> = [];
  #closed = false;

  constructor(context: LaneContext, options: CommitterOptions = DEFAULT_COMMITTER_OPTIONS) {
    this.#context = context;
    this.#options = options;
    this.#waiting = Array.from({ length: options.lanes }, () => []);
    this.#busy = Array.from({ length: options.lanes }, () => false);
  }

  /** Takes a command in; its reply is called once. */
  submit(command: EngineCommand): void {
    if (this.#closed) {
      command.reply.reject(new HeadraceError("DRAINING", "This replica is stopping."));
      return;
    }
    const refusal = this.#overloaded();
    if (refusal !== undefined) {
      command.reply.reject(refusal);
      return;
    }
    const lane = laneOf(executionIdOf(command), this.#options.lanes);
    this.#waiting[lane]?.push(command);
    this.#waitingCount++;
    this.#waitingBytes += commandBytes(command);
    if (this.#busy[lane] === true) return;
    this.#busy[lane] = true;
    // The rest of this tick may bring more commands for the same batch.
    queueMicrotask(() => void this.#work(lane));
  }

  /** As `submit`, for callers that want a promise. */
  request<Answer>(
    build: (reply: { resolve(answer: Answer): void; reject(error: Error): void }) => EngineCommand,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => this.submit(build({ resolve, reject })));
  }

  /** Refuses further commands and resolves when the accepted ones are answered. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#busy.some(Boolean)) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async #work(lane: number): Promise<void> {
    for (let batch = this.#take(lane); batch.length > 0; batch = this.#take(lane)) {
      await this.#commit(lane, batch);
    }
    this.#busy[lane] = false;
    if (this.#busy.some(Boolean)) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #take(lane: number): EngineCommand[] {
    const waiting = this.#waiting[lane] ?? [];
    let bytes = 0;
    let count = 0;
    for (const command of waiting) {
      const more = bytes + commandBytes(command);
      if (count > 0 && (count >= this.#options.batchCommands || more > this.#options.batchBytes)) break;
      bytes = more;
      count++;
    }
    this.#waitingCount -= count;
    this.#waitingBytes -= bytes;
    return waiting.splice(0, count);
  }

  /** What a transaction had no room for comes first in the next. */
  #putBack(lane: number, commands: readonly EngineCommand[]): void {
    this.#waiting[lane]?.unshift(...commands);
    this.#waitingCount += commands.length;
    for (const command of commands) this.#waitingBytes += commandBytes(command);
  }

  #overloaded(): HeadraceError | undefined {
    const { waitingCommands, waitingBytes } = this.#options;
    if (this.#waitingCount >= waitingCommands)
      return overloaded("commands", this.#waitingCount, waitingCommands);
    if (this.#waitingBytes >= waitingBytes)
      return overloaded("bytes of commands", this.#waitingBytes, waitingBytes);
    return undefined;
  }

  /** Commits a batch or answers why not; never rejects. */
  async #commit(lane: number, commands: readonly EngineCommand[]): Promise<void> {
    let lookUpStarts = false;
    for (let tried = 1; ; tried++) {
      const error = await this.#try(lane, commands, lookUpStarts);
      if (error === undefined) return;
      const verdict = error instanceof CommitError ? error.verdict : "refused";
      if (verdict === "refused") {
        await this.#isolate(lane, commands, error);
        return;
      }
      if (tried >= TRIES) {
        this.#giveUp(commands, error);
        return;
      }
      // An unknown outcome is resolved by reading: starts are looked up, reports meet their fence.
      lookUpStarts ||= verdict !== "retry" || tried > 1;
      if (verdict === "conflict") continue;
      const facts = { lane, tried, verdict, commands: commands.length, err: error };
      this.#context.log.warn(facts, "transaction failed, running it again");
      await delay(Math.min(1_000, 5 * 2 ** tried) * (0.5 + Math.random() / 2));
    }
  }

  /** Why the batch was not committed, or is not known to be; undefined when it was. */
  async #try(lane: number, commands: readonly EngineCommand[], lookUpStarts: boolean): Promise<unknown> {
    const transaction = new LaneTransaction(this.#context, commands, lookUpStarts);
    try {
      await transaction.run(lane);
      this.#putBack(lane, transaction.deferred);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** One command spoils the batch: each execution is committed alone, so that only the culprit fails. */
  async #isolate(lane: number, commands: readonly EngineCommand[], error: unknown): Promise<void> {
    const executions = new Set(commands.map(executionIdOf));
    if (executions.size === 1) {
      this.#context.log.error(
        { lane, executionId: [...executions][0], err: error },
        "command could not be committed",
      );
      rejectAll(commands, refusal(error));
      return;
    }
    for (const executionId of executions) {
      await this.#commit(
        lane,
        commands.filter((command) => executionIdOf(command) === executionId),
      );
    }
  }

  #giveUp(commands: readonly EngineCommand[], error: unknown): void {
    this.#context.log.error(
      { commands: commands.length, err: error },
      "database unavailable, commands are refused",
    );
    rejectAll(
      commands,
      new HeadraceError("DATABASE_UNAVAILABLE", "PostgreSQL did not commit.", {
        retryAfterMs: 1_000,
        cause: error,
      }),
    );
  }
}

function overloaded(what: string, waiting: number, limit: number): HeadraceError {
  return new HeadraceError("OVERLOADED", `${waiting} ${what} wait to be committed, the limit is ${limit}.`, {
    limit,
    actual: waiting,
    retryAfterMs: 500,
  });
}

/** UUIDv7 ends in random bits, so its last digits spread executions evenly. */
function laneOf(executionId: string, lanes: number): number {
  return Number.parseInt(executionId.slice(-6), 16) % lanes;
}
