import type {
  Assignment,
  AttemptRef,
  CancelNotice,
  Engine,
  ReportAck,
  SessionSink,
  WorkerSession,
} from "../../server/engine/api.js";
import { success } from "./scripted-worker.js";

const SLOTS = 20;

/**
 * A worker as an SDK would be: runs what it is given, keeps each outcome until it is acknowledged, and
 * reconnects to any replica with what it holds whenever its stream is closed. Its outputs say the
 * lease under which they were made.
 */
export class DurableWorker implements SessionSink {
  /** How often each attempt was acknowledged as committed. */
  readonly committed = new Map<string, number>();
  readonly #name: string;
  readonly #engines: readonly Engine[];
  readonly #pending = new Map<string, AttemptRef>();
  #sessionId: string | undefined;
  #session: WorkerSession | undefined;
  #frame = 0;
  #turn = 0;
  #stopped = false;

  constructor(name: string, engines: readonly Engine[]) {
    this.#name = name;
    this.#engines = engines;
  }

  /** Connects to the next replica that takes it, however long that takes. */
  async connect(): Promise<void> {
    while (!this.#stopped) {
      const engine = this.#engines[this.#turn++ % this.#engines.length]!;
      try {
        await this.#connectTo(engine);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  assign(assignments: readonly Assignment[]): number {
    const frame = ++this.#frame;
    for (const { attempt } of assignments) this.#pending.set(nameOf(attempt), attempt);
    setImmediate(() => {
      this.#session?.received(frame);
      this.#report(assignments.map(({ attempt }) => attempt));
    });
    return frame;
  }

  ack(acks: readonly ReportAck[]): void {
    for (const { attempt, result } of acks) {
      const name = nameOf(attempt);
      if (result === "COMMITTED") this.committed.set(name, (this.committed.get(name) ?? 0) + 1);
      if (this.#pending.delete(name)) this.#session?.grant(1);
    }
  }

  cancel(cancels: readonly CancelNotice[]): void {
    for (const { attempt } of cancels) if (this.#pending.delete(nameOf(attempt))) this.#session?.grant(1);
  }

  drain(): void {
    // The close that follows makes it go elsewhere.
  }

  ping(): void {
    this.#session?.received(this.#frame);
  }

  close(): void {
    this.#session = undefined;
    void this.connect();
  }

  async #connectTo(engine: Engine): Promise<void> {
    const held = [...this.#pending.values()];
    const resume = this.#sessionId === undefined ? undefined : { sessionId: this.#sessionId, held };
    this.#frame = 0;
    const { session, welcome } = await engine.workers.connect(
      {
        namespace: "default",
        workerName: this.#name,
        sdkName: "test",
        sdkVersion: "1",
        buildId: "",
        features: [],
        handlers: ["a", "b"],
        queues: ["default"],
        credit: Math.max(0, SLOTS - held.length),
        slots: SLOTS,
        labels: {},
        resume,
      },
      this,
    );
    this.#session = session;
    this.#sessionId = welcome.sessionId;
    for (const { attempt } of welcome.stale) if (this.#pending.delete(nameOf(attempt))) session.grant(1);
    this.#report(held.filter((attempt) => this.#pending.has(nameOf(attempt))));
  }

  #report(attempts: readonly AttemptRef[]): void {
    this.#session?.report(
      attempts.map((attempt) => ({ attempt, outcome: success({ lease: attempt.lease }) })),
    );
  }
}

function nameOf({ executionId, taskId, lease }: AttemptRef): string {
  return `${executionId}/${taskId}#${lease}`;
}
