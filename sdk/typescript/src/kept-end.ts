import type { StreamedEnded } from "./gen/headrace/v1/execution_service_pb.js";
import type { Failure } from "./gen/headrace/v1/payload_pb.js";

/** A handle keeps no larger output; it is fetched when it is wanted. */
const KEPT_BYTES_MAX = 16 * 1024;

/**
 * What a handle keeps of an end that was pushed before anybody asked for it: the end without the network
 * buffer that it came in, or undefined when it is too large to be kept for thousands of handles.
 */
export function keptEnd(end: StreamedEnded | undefined): StreamedEnded | undefined {
  if (end === undefined || hasDetails(end.failure)) return undefined;
  const { output } = end;
  if (output === undefined) return end;
  if (output.data.length > KEPT_BYTES_MAX) return undefined;
  return { ...end, output: { ...output, data: Uint8Array.from(output.data) } };
}

function hasDetails(failure: Failure | undefined): boolean {
  return failure !== undefined && (failure.details !== undefined || hasDetails(failure.cause));
}
