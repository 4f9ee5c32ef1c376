import type { Log } from "./log.js";

const BATCH = 1_000;
/** So many at once are under way or left out; then the line pauses. */
const SKIPPED_MAX = 10 * BATCH;
/** A row that was refused is left out for so long, so that those behind it have their turn. */
const REFUSED_MS = 5_000;

/** Where the rows of a line come from, and what is done with each. */
export interface DueSource<Row> {
  readonly read: (limit: number) => Promise<readonly Row[]>;
  readonly keyOf: (row: Row) => string;
  readonly bring: (row: Row) => Promise<unknown>;
}

/** Brings the due rows of one kind, oldest first, and each one once at a time. */
export class DueLine<Row> {
  readonly #source: DueSource<Row>;
  readonly #log: Log;
  /** Rows that are not brought now, and until when: those under way, and those that were refused. */
  readonly #skipped = new Map<string, number>();

  constructor(source: DueSource<Row>, log: Log) {
    this.#source = source;
    this.#log = log;
  }

  /** Whether rows are left out that are still due. */
  get skips(): boolean {
    return this.#skipped.size > 0;
  }

  /** Begins to bring what is due. `settled` never rejects: what was refused is tried again later. */
  async begin(): Promise<{ readonly isMore: boolean; readonly settled: Promise<void> }> {
    const nowMs = performance.now();
    for (const [key, untilMs] of this.#skipped) if (untilMs <= nowMs) this.#skipped.delete(key);
    if (this.#skipped.size >= SKIPPED_MAX) return { isMore: false, settled: Promise.resolve() };
    // What is skipped is still due, and found first.
    const limit = BATCH + this.#skipped.size;
    const rows = await this.#source.read(limit);
    const fresh = rows.filter((row) => !this.#skipped.has(this.#source.keyOf(row)));
    return { isMore: rows.length === limit, settled: this.#bring(fresh) };
  }

  async #bring(rows: readonly Row[]): Promise<void> {
    const refusals = (await Promise.all(rows.map((row) => this.#bringOne(row)))).flat();
    if (refusals.length === 0) return;
    this.#log.warn(
      { refused: refusals.length, err: refusals[0] },
      "due times were refused, they are tried again later",
    );
  }

  /** Answers why it was refused, if it was. */
  async #bringOne(row: Row): Promise<unknown[]> {
    const key = this.#source.keyOf(row);
    this.#skipped.set(key, Infinity);
    try {
      await this.#source.bring(row);
      this.#skipped.delete(key);
      return [];
    } catch (error) {
      this.#skipped.set(key, performance.now() + REFUSED_MS);
      return [error];
    }
  }
}
