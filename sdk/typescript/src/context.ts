import { AsyncLocalStorage } from "node:async_hooks";

import { HeadraceError } from "./errors.js";

/** What a handler knows of the attempt that it runs. */
export interface TaskContext {
  readonly executionId: string;
  readonly workflow: string;
  readonly taskId: string;
  /** -1 unless the task is an instance of a map. */
  readonly mapIndex: number;
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** When the server ends this attempt, if it does. */
  readonly deadline: Date | undefined;
  /** Aborted, with a CancelledError as its reason, when the handler should stop. */
  readonly signal: AbortSignal;
  /** W3C trace context of the attempt; empty when there is none. */
  readonly traceparent: string;
  /** Details of the last heartbeat of the previous attempt. */
  readonly lastHeartbeat: unknown;
  /**
   * Tells the server that the attempt is alive; `details` come to the next attempt, should this one
   * fail. May be called as often as wanted: what is sent is throttled. Throws INVALID_PAYLOAD and
   * PAYLOAD_TOO_LARGE for details that cannot be sent.
   */
  heartbeat(details?: unknown): void;
  /** Tells how far the attempt is; a total of 0 is an unknown one. Counts as a heartbeat. */
  progress(done: number, total?: number, message?: string): void;
}

const running = new AsyncLocalStorage<TaskContext>();

/** The context of the handler that runs here. Throws NO_CONTEXT outside of one. */
export function currentContext(): TaskContext {
  const context = running.getStore();
  if (context !== undefined) return context;
  throw new HeadraceError("NO_CONTEXT", "No handler is running here", {
    remedy: "Call currentContext() in a handler, or in what it calls and awaits.",
  });
}

/** The trace context of the handler that runs here; empty outside of one. */
export function currentTraceparent(): string {
  return running.getStore()?.traceparent ?? "";
}

/** Runs a function whose calls of currentContext() answer this context. */
export function runInContext<Result>(context: TaskContext, run: () => Result): Result {
  return running.run(context, run);
}
