import { HeadraceError } from "../core/errors.js";
import type { ExecutionApi } from "../engine/api.js";
import type { ExecutionService, WaitExecutionRequest } from "../gen/headrace/v1/execution_service_pb.js";
import { executionMessage, taskMessage } from "./convert-execution.js";
import { namespaceOf, requiredUuid } from "./convert-id.js";
import { convertDurationUpTo } from "./convert-time.js";
import { FieldCheck } from "./field-check.js";
import type { Context, Impl } from "./service-impl.js";

const WAIT_MAX_MS = 3_600_000;
/** So much before the caller gives up, the typed answer leaves. */
const ANSWER_MARGIN_MS = 50;

type WaitMethods = "waitExecution" | "watchExecution";

/** The calls that follow an execution to its end. */
export function waitHandlers(executions: ExecutionApi): Pick<Impl<typeof ExecutionService>, WaitMethods> {
  return {
    async waitExecution(request, context) {
      const { executionId, timeoutMs } = convertWait(request, context);
      const options = { timeoutMs, signal: context.signal };
      const execution = await executions.wait(namespaceOf(request), executionId, options);
      if (execution !== undefined) return { execution: executionMessage(execution) };
      throwIfDraining(context.signal);
      throw new HeadraceError("WAIT_OVER", `The execution has not ended within ${timeoutMs} ms.`, {
        limit: timeoutMs,
      });
    },

    async *watchExecution(request, context) {
      const check = new FieldCheck();
      const executionId = requiredUuid(check, "execution_id", request.executionId);
      const afterRevision = check.range(
        "after_revision",
        Number(request.afterRevision),
        0,
        Number.MAX_SAFE_INTEGER,
      );
      check.finish();
      const options = { afterRevision, signal: context.signal };
      for await (const { execution, tasks } of executions.watch(namespaceOf(request), executionId, options)) {
        yield {
          execution: executionMessage({ ...execution, input: undefined }),
          tasks: tasks.map((task) => taskMessage({ ...task, input: undefined, output: undefined })),
        };
      }
      throwIfDraining(context.signal);
    },
  };
}

function convertWait(
  request: WaitExecutionRequest,
  context: Context,
): { executionId: string; timeoutMs: number } {
  const check = new FieldCheck();
  const executionId = requiredUuid(check, "execution_id", request.executionId);
  const asked = convertDurationUpTo(check, "timeout", request.timeout, WAIT_MAX_MS);
  check.finish();
  const left =
    context.deadlineMs === undefined ? WAIT_MAX_MS : context.deadlineMs - Date.now() - ANSWER_MARGIN_MS;
  return { executionId, timeoutMs: Math.max(0, Math.floor(Math.min(asked ?? WAIT_MAX_MS, left))) };
}

/** A call that the drain of the server cut short must say so, because its silence would mean the end. */
function throwIfDraining(signal: AbortSignal): void {
  if (signal.aborted && signal.reason instanceof HeadraceError) throw signal.reason;
}
