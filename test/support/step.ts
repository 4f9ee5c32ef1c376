/** What a task of the tests asks the worker program to do. */
export interface StepInput {
  /** Comes back in the output. */
  readonly value?: unknown;
  /** Works for so many milliseconds. */
  readonly ms?: number;
  /** Works until the test releases this key. */
  readonly hold?: string;
  /** Then ends the whole process, as a fault of the handler would. */
  readonly crash?: boolean;
  /** Goes on although its context is cancelled. */
  readonly stubborn?: boolean;
}

/** What the step gives back. */
export interface StepOutput {
  readonly value: unknown;
  readonly worker: string;
  readonly attempt: number;
}

/** What a worker notes of an attempt, in the order in which it happens. */
export interface StepRecord {
  readonly event: "start" | "end" | "cancelled";
  readonly worker: string;
  readonly executionId: string;
  readonly task: string;
  readonly attempt: number;
  /** Of "cancelled". */
  readonly reason?: string;
}

/** What the worker program is told in its environment. */
export interface WorkerProgramOptions {
  readonly address: string;
  readonly name: string;
  /** File to which each record is appended as a line of JSON. */
  readonly journal: string;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly queue: string;
}

/** What the test tells the worker program while it runs. */
export interface ReleaseMessage {
  /** Key of the steps that may end; "*" means all, now and later. */
  readonly release: string;
}
