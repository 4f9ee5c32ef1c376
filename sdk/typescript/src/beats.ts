import { performance } from "node:perf_hooks";

import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";

import type { Attempt } from "./attempt.js";
import type { AttemptBeat } from "./gen/headrace/v1/worker_service_pb.js";
import { AttemptBeatSchema } from "./gen/headrace/v1/worker_service_pb.js";

const EVERY_MS = 1_000;
const LEAST_MS = 50;

/** Heartbeats that were not sent yet, throttled for each attempt: the newest one counts. */
export class Beats {
  readonly #pending = new Set<Attempt>();
  readonly #due: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** `due` is called when there are beats to take. */
  constructor(due: () => void) {
    this.#due = due;
  }

  /** The attempt has a beat to send. */
  add(attempt: Attempt): void {
    this.#pending.add(attempt);
    this.#tellIn(dueInMs(attempt));
  }

  /** Takes the beats that are due, and tells again when the next one is. */
  takeDue(): AttemptBeat[] {
    const due: AttemptBeat[] = [];
    let nextMs = Infinity;
    for (const attempt of this.#pending) {
      const inMs = dueInMs(attempt);
      if (attempt.state !== "RUNNING" || attempt.dropped) this.#pending.delete(attempt);
      else if (inMs === 0) due.push(...this.take(attempt));
      else nextMs = Math.min(nextMs, inMs);
    }
    if (nextMs < Infinity) this.#tellIn(nextMs);
    return due;
  }

  /** Takes the beat of one attempt, due or not. Empty when it has none. */
  take(attempt: Attempt): AttemptBeat[] {
    const beat = attempt.beat;
    this.#pending.delete(attempt);
    if (beat === undefined) return [];
    attempt.beat = undefined;
    attempt.beatAtMs = performance.now();
    return [create(AttemptBeatSchema, { attempt: attempt.ref, ...beat })];
  }

  /** Tells nothing any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #tellIn(ms: number): void {
    if (ms === 0) {
      this.#due();
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#due();
    }, ms);
  }
}

function dueInMs(attempt: Attempt): number {
  return Math.max(0, attempt.beatAtMs + everyMs(attempt) - performance.now());
}

/** How often beats of an attempt are sent: four times within its heartbeat timeout, at most each second. */
function everyMs(attempt: Attempt): number {
  const timeout = attempt.assignment.heartbeatTimeout;
  if (timeout === undefined) return EVERY_MS;
  return Math.min(EVERY_MS, Math.max(LEAST_MS, durationMs(timeout) / 4));
}
