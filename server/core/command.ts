import type { Failure } from "./failure.js";
import type { Payload } from "./payload.js";

/** What became of an attempt, as its worker reports it. */
export type Outcome =
  | { readonly kind: "success"; readonly output: Payload | undefined }
  | { readonly kind: "failure"; readonly failure: Failure }
  | { readonly kind: "cancelled"; readonly message: string }
  | { readonly kind: "givenBack" };

/** Why the server itself ends a hand-out. */
export type LossReason =
  /** The delivery was never acknowledged: nothing is counted. */
  | "UNDELIVERED"
  /** The worker vanished while it held the task. */
  | "WORKER_LOST"
  | "ATTEMPT_TIMEOUT"
  | "HEARTBEAT_TIMEOUT"
  | "TOTAL_TIMEOUT";

/**
 * What is asked of an execution. `random` in [0, 1) is drawn by the caller, because the core has no
 * randomness. Whether a hand-out is still current is decided by the fence before a command gets here.
 */
export type Command =
  | { readonly kind: "report"; readonly index: number; readonly outcome: Outcome; readonly random: number }
  | LoseCommand
  /** A time may have come for a task that nobody runs. */
  | { readonly kind: "taskDue"; readonly index: number }
  /** A time may have come for the execution. `running` are the tasks that a worker has. */
  | { readonly kind: "executionDue"; readonly running: ReadonlySet<number> }
  | CancelCommand;

/** The server ends a hand-out itself. */
export interface LoseCommand {
  readonly kind: "lose";
  readonly index: number;
  readonly reason: LossReason;
  /** Of WORKER_LOST: whether this loss counts against the task. */
  readonly counted: boolean;
  readonly random: number;
}

/** Somebody asks the execution to end. */
export interface CancelCommand {
  readonly kind: "cancel";
  readonly reason: string;
  readonly graceMs: number;
  /** The tasks that a worker has; they get the grace. */
  readonly running: ReadonlySet<number>;
}
