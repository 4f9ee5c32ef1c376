import type { DurationLike } from "./duration.js";
import { parseDuration } from "./duration.js";
import { HeadraceError } from "./errors.js";

/** When a wait is over, in milliseconds since the epoch; Infinity without a timeout. */
export function deadlineOf(timeout: DurationLike | undefined): number {
  return timeout === undefined ? Infinity : Date.now() + parseDuration(timeout, "timeout");
}

/** The error of a wait that is over before the execution. */
export function waitOver(executionId: string): HeadraceError {
  return new HeadraceError("WAIT_OVER", `Execution ${executionId} did not end within the timeout`, {
    field: "timeout",
    retryable: true,
    remedy: "Wait again; the execution goes on meanwhile.",
  });
}

/** The end of a promise, unless the deadline passes (WAIT_OVER) or the signal aborts before. */
export function within<T>(
  promise: Promise<T>,
  options: { executionId: string; deadline: number; signal: AbortSignal | undefined },
): Promise<T> {
  const { executionId, deadline, signal } = options;
  if (deadline === Infinity && signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => reject(signal?.reason);
    const timer = deadline === Infinity ? undefined : setTimeout(late, deadline - Date.now());
    function late(): void {
      reject(waitOver(executionId));
    }
    signal?.addEventListener("abort", abort, { once: true });
    void promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    });
  });
}
