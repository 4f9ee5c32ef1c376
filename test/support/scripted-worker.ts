import type { Outcome } from "../../server/core/command.js";
import { jsonPayload } from "../../server/core/payload.js";
import type {
  Assignment,
  AttemptRef,
  CancelNotice,
  Engine,
  HelloRequest,
  ReportAck,
  SessionSink,
  WelcomeAnswer,
  WorkerSession,
} from "../../server/engine/api.js";
import { EventLog } from "./event-log.js";
import { until } from "./until.js";

/** What a session was told. */
export type ToldEvent =
  | { readonly kind: "assign"; readonly assignment: Assignment; readonly frame: number; readonly nth: number }
  | { readonly kind: "ack"; readonly ack: ReportAck }
  | { readonly kind: "cancel"; readonly notice: CancelNotice }
  | { readonly kind: "drain"; readonly reason: string }
  | { readonly kind: "ping" }
  | { readonly kind: "close"; readonly error: Error };

type Told<Kind extends ToldEvent["kind"]> = Extract<ToldEvent, { kind: Kind }>;

export interface WorkerOptions extends Partial<HelloRequest> {
  /** Whether it acknowledges every frame, as a healthy worker does. Default: true. */
  readonly acknowledges?: boolean;
}

/** What an attempt becomes; undefined keeps it running. */
export type Handler = (assignment: Assignment, worker: ScriptedWorker) => Outcome | undefined;

/** The worker's end of a stream, without the stream: a test says what it does, and sees what it is told. */
export class ScriptedWorker implements SessionSink {
  readonly told = new EventLog<ToldEvent>();
  readonly hello: HelloRequest;
  /** Assigned and not reported. */
  readonly held = new Map<string, Assignment>();
  /** Granted and not used. Below 0: the server sent more than it may. */
  credit: number;
  lowestCredit: number;
  acknowledges: boolean;
  /** The last frame that it acknowledged. */
  #acknowledged = 0;
  #frame = 0;
  #assigned = 0;
  #taken = 0;
  #handler: Handler | undefined;
  #connection: { session: WorkerSession; welcome: WelcomeAnswer } | undefined;

  constructor(hello: HelloRequest, acknowledges: boolean) {
    this.hello = hello;
    this.credit = hello.credit;
    this.lowestCredit = hello.credit;
    this.acknowledges = acknowledges;
  }

  async connect(engine: Engine): Promise<this> {
    this.#connection = await engine.workers.connect(this.hello, this);
    return this;
  }

  get session(): WorkerSession {
    return this.#connected.session;
  }

  get welcome(): WelcomeAnswer {
    return this.#connected.welcome;
  }

  get #connected(): { session: WorkerSession; welcome: WelcomeAnswer } {
    if (this.#connection === undefined) throw new Error("The worker is not connected");
    return this.#connection;
  }

  /** Answers every assignment, those that came before too, and grants the slot again. */
  run(handler: Handler): this {
    this.#handler = handler;
    for (const assignment of this.held.values()) this.#handle(assignment);
    return this;
  }

  /** The next assignment that was not taken yet. */
  async next(timeoutMs?: number): Promise<Assignment> {
    const position = this.#taken++;
    const isNext = (event: ToldEvent): event is Told<"assign"> =>
      event.kind === "assign" && event.nth === position;
    return (await this.told.find(isNext, timeoutMs)).assignment;
  }

  /** As `next`, when the server knows that it has arrived. */
  async received(): Promise<Assignment> {
    const assignment = await this.next();
    await until("the delivery is acknowledged", () => this.#acknowledged === this.#frame);
    return assignment;
  }

  async take(count: number, timeoutMs?: number): Promise<Assignment[]> {
    const taken: Assignment[] = [];
    while (taken.length < count) taken.push(await this.next(timeoutMs));
    return taken;
  }

  grant(credit: number): void {
    this.credit += credit;
    this.session.grant(credit);
  }

  /** Reports and waits for the acknowledgement of this very report. */
  async report({ attempt }: { attempt: AttemptRef }, outcome: Outcome): Promise<ReportAck> {
    const earlier = new Set(this.told.all);
    this.held.delete(nameOf(attempt));
    this.session.report([{ attempt, outcome }]);
    const isAnswer = (event: ToldEvent): event is Told<"ack"> =>
      event.kind === "ack" && nameOf(event.ack.attempt) === nameOf(attempt) && !earlier.has(event);
    return (await this.told.find(isAnswer)).ack;
  }

  succeed(assignment: { attempt: AttemptRef }, output: unknown = null): Promise<ReportAck> {
    return this.report(assignment, success(output));
  }

  async cancelOf({ attempt }: { attempt: AttemptRef }, timeoutMs?: number): Promise<CancelNotice> {
    const isNotice = (event: ToldEvent): event is Told<"cancel"> =>
      event.kind === "cancel" && nameOf(event.notice.attempt) === nameOf(attempt);
    return (await this.told.find(isNotice, timeoutMs)).notice;
  }

  async closed(timeoutMs?: number): Promise<Error> {
    const isClose = (event: ToldEvent): event is Told<"close"> => event.kind === "close";
    return (await this.told.find(isClose, timeoutMs)).error;
  }

  /** A worker that goes on with this one's session on a new stream. */
  successor(options: WorkerOptions = {}): ScriptedWorker {
    const held = [...this.held.values()].map(({ attempt }) => attempt);
    const resume = { sessionId: this.session.sessionId, held };
    return scriptedWorker({ ...this.hello, resume, ...options });
  }

  get assignments(): Assignment[] {
    return this.told.all.flatMap((event) => (event.kind === "assign" ? [event.assignment] : []));
  }

  assign(assignments: readonly Assignment[]): number {
    const frame = ++this.#frame;
    for (const assignment of assignments) {
      this.credit--;
      this.held.set(nameOf(assignment.attempt), assignment);
      this.told.push({ kind: "assign", assignment, frame, nth: this.#assigned++ });
    }
    this.lowestCredit = Math.min(this.lowestCredit, this.credit);
    // As on a wire, nothing comes back before the call that sent it has returned.
    setImmediate(() => {
      this.#acknowledge(frame);
      for (const assignment of assignments) this.#handle(assignment);
    });
    return frame;
  }

  ack(acks: readonly ReportAck[]): void {
    for (const ack of acks) this.told.push({ kind: "ack", ack });
  }

  cancel(cancels: readonly CancelNotice[]): void {
    for (const notice of cancels) this.told.push({ kind: "cancel", notice });
  }

  drain(reason: string): void {
    this.told.push({ kind: "drain", reason });
  }

  ping(): void {
    this.told.push({ kind: "ping" });
    this.#acknowledge(this.#frame);
  }

  close(error: Error): void {
    this.told.push({ kind: "close", error });
  }

  #acknowledge(frame: number): void {
    if (!this.acknowledges || this.#connection === undefined) return;
    this.#connection.session.received(frame);
    this.#acknowledged = frame;
  }

  #handle(assignment: Assignment): void {
    const outcome = this.#handler?.(assignment, this);
    if (outcome === undefined || this.#connection === undefined) return;
    if (!this.held.delete(nameOf(assignment.attempt))) return;
    this.session.report([{ attempt: assignment.attempt, outcome }]);
    this.grant(1);
  }
}

/** Not connected yet. */
export function scriptedWorker({ acknowledges = true, ...hello }: WorkerOptions = {}): ScriptedWorker {
  return new ScriptedWorker({ ...HELLO, ...hello }, acknowledges);
}

export function success(output: unknown = null): Outcome {
  return { kind: "success", output: jsonPayload(output) };
}

export function failure(
  more: { message?: string; nonRetryable?: boolean; retryAfterMs?: number } = {},
): Outcome {
  return { kind: "failure", failure: { reason: "HANDLER_FAILED", message: "boom", ...more } };
}

const HELLO: HelloRequest = {
  namespace: "default",
  workerName: "w",
  sdkName: "test",
  sdkVersion: "1",
  buildId: "",
  features: [],
  handlers: ["a"],
  queues: ["default"],
  credit: 1,
  slots: 1,
  labels: {},
  resume: undefined,
};

function nameOf({ executionId, taskId, lease }: AttemptRef): string {
  return `${executionId}/${taskId}#${lease}`;
}
