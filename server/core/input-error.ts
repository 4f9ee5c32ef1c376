export type InputErrorReason = "EXPRESSION_FAILED" | "PAYLOAD_NOT_JSON" | "PAYLOAD_TOO_LARGE";

/** An input or output cannot be made. Reason and message are those of the failure that it becomes. */
export class InputError extends Error {
  readonly reason: InputErrorReason;

  constructor(reason: InputErrorReason, message: string) {
    super(message);
    this.name = "InputError";
    this.reason = reason;
  }
}
