import type { Assignment, CancelNotice, ReportAck } from "../engine/api.js";
import type { Ack, ConnectResponse, Welcome } from "../gen/headrace/v1/worker_service_pb.js";
import { ackMessage, assignmentBytesMax, assignmentMessage, cancelMessage } from "./convert-attempt.js";

/** Acks and cancels are small; so many fit any message. */
const ENTRIES_PER_FRAME = 5_000;

interface Chunk {
  readonly assignments: Assignment[];
  bytes: number;
}

/**
 * What a worker stream has to say and has not said, collected into numbered frames. Frame 1 is the
 * Welcome. Assignments go before everything else, so that the number of the frame that will carry one is
 * known at once.
 */
export class OutgoingFrames {
  readonly #frameBytes: number;
  readonly #chunks: Chunk[] = [];
  #acks: Ack[] = [];
  #cancels: CancelNotice[] = [];
  #drainReason: string | undefined;
  #isPingDue = false;
  #lastFrame = 0;
  #waitingBytes = 0;

  /** A frame takes assignments until it has so many bytes. */
  constructor(frameBytes: number) {
    this.#frameBytes = frameBytes;
  }

  /** Number of the last frame that was taken; 0 before the Welcome. */
  get lastFrame(): number {
    return this.#lastFrame;
  }

  /** Bytes of the assignments that wait. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Queues assignments and returns the number of the frame that carries the last of them. */
  assign(assignments: readonly Assignment[]): number {
    for (const assignment of assignments) {
      const bytes = assignmentBytesMax(assignment);
      const last = this.#chunks.at(-1);
      if (last !== undefined && last.bytes + bytes <= this.#frameBytes) {
        last.assignments.push(assignment);
        last.bytes += bytes;
      } else {
        this.#chunks.push({ assignments: [assignment], bytes });
      }
      this.#waitingBytes += bytes;
    }
    return Math.max(this.#lastFrame, 1) + this.#chunks.length;
  }

  ack(acks: readonly ReportAck[]): void {
    for (const ack of acks) this.#acks.push(ackMessage(ack));
  }

  /** Queues an ack of the transport itself. */
  reject(ack: Ack): void {
    this.#acks.push(ack);
  }

  cancel(cancels: readonly CancelNotice[]): void {
    this.#cancels.push(...cancels);
  }

  drain(reason: string): void {
    this.#drainReason = reason;
  }

  ping(): void {
    this.#isPingDue = true;
  }

  welcome(value: Welcome): ConnectResponse {
    return this.#frame({ case: "welcome", value });
  }

  /** The next frame to send; undefined when there is nothing to say. */
  next(): ConnectResponse | undefined {
    const message = this.#nextAssignments() ?? this.#nextAcks() ?? this.#nextCancels() ?? this.#nextControl();
    return message && this.#frame(message);
  }

  #nextAssignments(): ConnectResponse["message"] | undefined {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return undefined;
    this.#waitingBytes -= chunk.bytes;
    const assignments = chunk.assignments.map(assignmentMessage);
    return { case: "assignments", value: { $typeName: "headrace.v1.Assignments", assignments } };
  }

  #nextAcks(): ConnectResponse["message"] | undefined {
    if (this.#acks.length === 0) return undefined;
    const acks = this.#acks.splice(0, ENTRIES_PER_FRAME);
    return { case: "acks", value: { $typeName: "headrace.v1.Acks", acks } };
  }

  #nextCancels(): ConnectResponse["message"] | undefined {
    if (this.#cancels.length === 0) return undefined;
    const cancels = this.#cancels.splice(0, ENTRIES_PER_FRAME).map(cancelMessage);
    return { case: "cancels", value: { $typeName: "headrace.v1.Cancels", cancels } };
  }

  #nextControl(): ConnectResponse["message"] | undefined {
    if (this.#drainReason !== undefined) {
      const value = { $typeName: "headrace.v1.Drain" as const, reason: this.#drainReason };
      this.#drainReason = undefined;
      return { case: "drain", value };
    }
    if (!this.#isPingDue) return undefined;
    this.#isPingDue = false;
    return { case: "ping", value: { $typeName: "headrace.v1.Ping" } };
  }

  #frame(message: ConnectResponse["message"]): ConnectResponse {
    return { $typeName: "headrace.v1.ConnectResponse", frame: BigInt(++this.#lastFrame), message };
  }
}
