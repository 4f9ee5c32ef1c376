import pg from "pg";
import type { ClientBase, QueryResult, QueryResultRow } from "pg";
import { codeOf, ConnectionLostError, isConnectionLost } from "./sql-errors.js";

/** The types of pg leave it out. */
const pgUtils = (pg as unknown as { readonly utils: { prepareValue(value: unknown): unknown } }).utils;

/** SQL text; with a name it is parsed once for each connection. */
export interface Statement {
  readonly name?: string;
  readonly text: string;
}

/**
 * Sends one statement. Calls made without waiting in between keep their order. Rejects with
 * ConnectionLostError when the connection broke, and with the error of PostgreSQL otherwise.
 */
export type Query = <R extends QueryResultRow = QueryResultRow>(
  statement: Statement,
  values?: readonly unknown[],
) => Promise<QueryResult<R>>;

/** Opens a transaction. */
export const BEGIN: Statement = { text: "begin" };
/** Commits it; rejects with RolledBackError when it had failed. */
export const COMMIT: Statement = { text: "commit" };
/** Gives it up. */
export const ROLLBACK: Statement = { text: "rollback" };

/** A transaction that was to be committed had failed before, so PostgreSQL rolled it back. */
export class RolledBackError extends Error {
  constructor() {
    super("COMMIT ended in a rollback, because a statement before it had failed");
    this.name = "RolledBackError";
  }
}

/**
 * Runs `work` as the only user of a client and leaves the client clean: every statement has been
 * answered and no transaction is open, whatever became of `work`. A work that returns inside an
 * open transaction is a mistake and rejects.
 */
export async function useClient<T>(
  client: ClientBase,
  pipeline: boolean,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const sent: Promise<unknown>[] = [];
  let last: Promise<unknown> = Promise.resolve();
  const query = (statement: Statement, values?: readonly unknown[]): Promise<QueryResult> => {
    // Without pipelining a statement waits for the answer before it, and pg wants to see it only then.
    const answer = pipeline
      ? send(client, statement, values)
      : last.then(() => send(client, statement, values));
    last = answer.catch(() => undefined);
    sent.push(last);
    return answer;
  };
  let outcome: T;
  try {
    outcome = await work(query);
  } catch (error) {
    await settle(client, sent);
    throw error;
  }
  if (await settle(client, sent)) throw new Error("A transaction was left open; it was rolled back");
  return outcome;
}

/** A value as pg sends it. Throws when it is more than a string can hold. */
export function prepareValue(value: unknown): unknown {
  return pgUtils.prepareValue(value);
}

async function send(
  client: ClientBase,
  statement: Statement,
  values: readonly unknown[] | undefined,
): Promise<QueryResult> {
  // When pg itself fails at it, the connection no longer knows which statements are prepared.
  const prepared = values?.map((value) => prepareValue(value));
  try {
    const result = await client.query({
      ...statement,
      ...(prepared === undefined ? {} : { values: prepared }),
    });
    if (result.command === "ROLLBACK" && !/^\s*rollback/i.test(statement.text)) throw new RolledBackError();
    return result;
  } catch (error) {
    if (error instanceof RolledBackError) throw error;
    // An error that PostgreSQL did not send is one of pg, and what the two know of each other may differ.
    throw isConnectionLost(error) || codeOf(error) === undefined ? new ConnectionLostError(error) : error;
  }
}

/** Waits for all answers and ends an open transaction. True when there was one. */
async function settle(client: ClientBase, sent: readonly Promise<unknown>[]): Promise<boolean> {
  await Promise.all(sent);
  const status = client.getTransactionStatus();
  if (status !== "T" && status !== "E") return false;
  // On a dead connection there is nothing to roll back.
  await send(client, ROLLBACK, undefined).catch((error: unknown) => {
    if (!isConnectionLost(error)) throw error;
  });
  return true;
}
