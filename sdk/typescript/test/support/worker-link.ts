import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { ServerDuplexStream } from "@grpc/grpc-js";

import type {
  Assignment,
  AssignmentSchema,
  AttemptRef,
  ConnectRequest,
  ConnectResponse,
  Hello,
  Report,
  WelcomeSchema,
} from "../../src/gen/headrace/v1/worker_service_pb.js";
import { AckResult, ConnectResponseSchema } from "../../src/gen/headrace/v1/worker_service_pb.js";
import { Inbox } from "./inbox.js";

export type ConnectCall = ServerDuplexStream<ConnectRequest, ConnectResponse>;
type Kind = Exclude<ConnectRequest["message"]["case"], undefined>;
type ValueOf<K extends Kind> = Extract<ConnectRequest["message"], { case: K }>["value"];

let lastLease = 0n;

/** The server's end of one worker stream, played by a test. */
export class WorkerLink {
  readonly hello: Hello;
  readonly messages = new Inbox<ConnectRequest>();
  /** Reports one by one, in order of arrival. */
  readonly reports = new Inbox<Report>();
  /** Credit granted so far, that of the hello included. */
  credit: number;
  /** Assignments sent so far. */
  assigned = 0;
  /** Resolves when the worker has half-closed, or the stream is gone. */
  readonly ended: Promise<void>;
  readonly #call: ConnectCall;
  #frame = 0n;

  private constructor(call: ConnectCall, hello: Hello) {
    this.#call = call;
    this.hello = hello;
    this.credit = hello.credit;
    this.ended = new Promise((resolve) => {
      call.on("end", resolve);
      call.on("cancelled", resolve);
    });
  }

  static accept(call: ConnectCall, accepted: (link: WorkerLink) => void): void {
    let link: WorkerLink | undefined;
    call.on("data", (request: ConnectRequest) => {
      if (link !== undefined) link.#receive(request);
      else if (request.message.case === "hello") {
        link = new WorkerLink(call, request.message.value);
        accepted(link);
      }
    });
    call.on("error", () => undefined);
  }

  #receive(request: ConnectRequest): void {
    const { message } = request;
    if (message.case === "credit") this.credit += message.value.add;
    if (message.case === "reports") {
      this.credit += message.value.credit;
      for (const report of message.value.reports) this.reports.put(report);
    }
    this.messages.put(request);
  }

  /** The next message of a kind. */
  async next<K extends Kind>(kind: K): Promise<ValueOf<K>> {
    const { message } = await this.messages.take((request) => request.message.case === kind);
    return message.value as ValueOf<K>;
  }

  /** Resolves when the worker has acknowledged every frame so far. */
  async acknowledged(): Promise<void> {
    const frame = this.#frame;
    await this.messages.take((request) => request.receivedFrame >= frame);
  }

  welcome(facts: MessageInitShape<typeof WelcomeSchema> = {}): void {
    const defaults = { sessionId: "s-1", beatInterval: durationFromMs(60_000) };
    this.send({ case: "welcome", value: { ...defaults, ...facts } as never });
  }

  /** Hands out attempts; answers what was sent. */
  assign(...assignments: Array<MessageInitShape<typeof AssignmentSchema>>): AttemptRef[] {
    const whole = assignments.map((facts, i) => ({
      attempt: {
        executionId: "0190b1f2-0000-7000-8000-000000000001",
        taskId: `t${i}`,
        mapIndex: -1,
        attempt: 1,
        lease: ++lastLease,
      },
      handler: "work",
      queue: "default",
      workflow: "flow",
      maxAttempts: 3,
      input: { data: Buffer.from("null"), encoding: "json" },
      ...facts,
    }));
    this.assigned += whole.length;
    const sent = this.send({ case: "assignments", value: { assignments: whole } as never });
    if (sent.message.case !== "assignments") throw new Error("not sent");
    return sent.message.value.assignments.map((assignment: Assignment) => assignment.attempt!);
  }

  ack(report: Report, result: AckResult = AckResult.COMMITTED, reason = "", message = ""): void {
    this.send({
      case: "acks",
      value: { acks: [{ attempt: report.attempt!, result, reason, message }] } as never,
    });
  }

  cancel(attempt: AttemptRef, reason: string, outcomeWanted: boolean): void {
    this.send({ case: "cancels", value: { cancels: [{ attempt, reason, outcomeWanted }] } as never });
  }

  send(message: { case: string; value: never }): ConnectResponse {
    this.#frame += 1n;
    const response = create(ConnectResponseSchema, { frame: this.#frame, message: message as never });
    this.#call.write(response);
    return response;
  }

  /** Ends the stream with OK. */
  end(): void {
    this.#call.end();
  }

  /** Ends the stream with an error. */
  fail(error: Error): void {
    this.#call.emit("error", error);
  }
}

/** JSON input of an assignment. */
export function json(value: unknown): { data: Uint8Array; encoding: string } {
  return { data: Buffer.from(JSON.stringify(value)), encoding: "json" };
}
