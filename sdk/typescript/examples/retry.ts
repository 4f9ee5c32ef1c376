import type { Ref } from "@headrace/sdk";
import { connect, ExecutionFailedError, NonRetryable, RetryAfter, task, workflow } from "@headrace/sdk";

const flaky = task(
  "flaky",
  (mode: string, { attempt, maxAttempts }) => {
    console.log(`${mode}: attempt ${attempt} of ${maxAttempts}`);
    if (mode === "declined") throw new NonRetryable("the card was declined");
    if (mode === "busy" && attempt === 1) throw new RetryAfter("200ms", "the bank is busy");
    if (attempt < 3) throw new Error("no connection");
    return `done at attempt ${attempt}`;
  },
  { retry: { maxAttempts: 3, initialInterval: "100ms", backoff: "EXPONENTIAL", maxInterval: "1s" } },
);
const pay = workflow("pay", (mode: Ref<string>) => flaky(mode));

await using headrace = await connect();
await headrace.serve(pay);

console.log(await headrace.run(pay, "unsteady"));
console.log(await headrace.run(pay, "busy"));
try {
  await headrace.run(pay, "declined");
} catch (error) {
  if (!(error instanceof ExecutionFailedError)) throw error;
  console.log(`${error.status} in task ${error.taskId ?? "?"}: ${error.errorType ?? "?"}`);
}
