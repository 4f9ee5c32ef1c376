import { toBinary, create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { status, type StatusObject } from "@grpc/grpc-js";
import type { ConnectRequestSchema } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { failureOf, type FailedCall } from "./grpc-client.js";
import type { Wire } from "./wire.js";

/** Stands in a text for bytes that no text can have. */
export const PLACE = "@@@";

/** A message with these bytes where the placeholder stands; they have its length, so that all else holds. */
export function withBytes<D extends DescMessage>(
  desc: D,
  message: MessageInitShape<D>,
  bytes: readonly [number, number, number],
): Buffer {
  const encoded = Buffer.from(toBinary(desc, create(desc, message)));
  const at = encoded.indexOf(PLACE);
  if (at < 0) throw new Error("the placeholder is not in the message");
  encoded.set(bytes, at);
  return encoded;
}

/** How a call failed, or undefined when it did not. */
export async function refusalOf(call: Promise<unknown>): Promise<FailedCall | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return failureOf(error as StatusObject);
  }
}

type StreamMessage = MessageInitShape<typeof ConnectRequestSchema> | Buffer;

/** Sends the messages on a worker stream, the first alone, and rejects with the status that ends it. */
export async function speak(wire: Wire, first: StreamMessage, ...others: StreamMessage[]): Promise<void> {
  const stream = wire.workers.duplex("connect");
  stream.send(first);
  if (others.length > 0) await stream.received.find(({ message }) => message.case === "welcome");
  for (const message of others) stream.send(message);
  const end = await stream.ended;
  if (end.code !== status.OK) throw Object.assign(new Error(end.details), end);
}
