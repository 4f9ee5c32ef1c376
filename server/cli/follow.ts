import { setTimeout as sleep } from "node:timers/promises";
import { ExecutionService, type WatchExecutionResponse } from "../gen/headrace/v1/execution_service_pb.js";
import { CliError, EXIT } from "./cli-error.js";
import type { ClientSession } from "./client-session.js";
import { isExecutionOver } from "./status.js";

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;
/** A server that stays away longer than this ends the command; the execution goes on without it. */
const PATIENCE_MS = 60_000;

/**
 * The state of an execution now and each change until its end. A broken stream is opened again from the
 * last revision; `onLost` hears of it each time. Rejects at once when the first try fails.
 */
export async function* followExecution(
  { connection, namespace, signal }: ClientSession,
  executionId: string,
  onLost: (error: CliError) => void,
): AsyncGenerator<WatchExecutionResponse, void> {
  let afterRevision = 0n;
  let wasReached = false;
  const patience = new Patience(signal);
  while (true) {
    try {
      const request = { namespace, executionId, afterRevision };
      for await (const update of connection.stream(ExecutionService.method.watchExecution, request, signal)) {
        patience.renew();
        wasReached = true;
        afterRevision = update.execution?.revision ?? afterRevision;
        yield update;
        if (update.execution !== undefined && isExecutionOver(update.execution.status)) return;
      }
      // A server that goes away ends the stream early; where it was, the next one tells from the start.
      afterRevision = 0n;
      await patience.wait();
    } catch (error) {
      if (!isUnreachable(error) || !wasReached) throw error;
      onLost(error);
      await patience.wait(error);
    }
  }
}

/** Whether an error is of the line or of a server that goes away, so that trying again makes sense. */
export function isUnreachable(error: unknown): error is CliError {
  return error instanceof CliError && error.exitCode === EXIT.unreachable;
}

/** Growing pauses between tries, up to a limit in total. */
export class Patience {
  readonly #signal: AbortSignal;
  #delayMs = FIRST_DELAY_MS;
  #sinceMs: number | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** The server was there: the next pause is short again. */
  renew(): void {
    this.#delayMs = FIRST_DELAY_MS;
    this.#sinceMs = undefined;
  }

  /** Pauses. Rejects with the error once the patience is at its end, and when the user interrupts. */
  async wait(error?: CliError): Promise<void> {
    this.#sinceMs ??= Date.now();
    if (error !== undefined && Date.now() - this.#sinceMs > PATIENCE_MS) throw error;
    try {
      await sleep(this.#delayMs, undefined, { signal: this.#signal });
    } catch (cause) {
      throw new CliError(EXIT.interrupted, "interrupted", { reason: "CANCELLED", cause });
    }
    this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS);
  }
}
