import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { ExecutionApi, ExecutionView, StartRequest } from "../engine/api.js";
import type {
  ExecutionService,
  StartExecutionRequest,
  StartResult,
} from "../gen/headrace/v1/execution_service_pb.js";
import { executionMessage, refusedResult, startedResult } from "./convert-execution.js";
import { namespaceOf } from "./convert-id.js";
import { convertStart } from "./convert-start.js";
import { convertDurationUpTo } from "./convert-time.js";
import { FieldCheck } from "./field-check.js";
import type { Context, Impl } from "./service-impl.js";

const WAIT_MAX_MS = 3_600_000;

type StartMethods = "startExecution" | "startExecutions";

/** The calls that start executions and are answered once. */
export function startHandlers(
  executions: ExecutionApi,
  limits: Limits,
): Pick<Impl<typeof ExecutionService>, StartMethods> {
  return {
    async startExecution(request, context) {
      const namespace = namespaceOf(request);
      const start = convertStart("start", request.start, limits);
      const waitMs = convertWait(request);
      if (waitMs === undefined) return executions.start(namespace, start);
      const { answer, execution } = await startAndWait(executions, namespace, start, { waitMs, context });
      return { ...answer, execution: executionMessage(execution) };
    },

    async startExecutions(request) {
      const check = new FieldCheck();
      check.count("starts", request.starts.length, limits.startsPerRequest);
      check.finish();
      const namespace = namespaceOf(request);
      const results = request.starts.map(async (start, index): Promise<StartResult> => {
        try {
          const converted = convertStart(`starts[${index}]`, start, limits);
          return startedResult(await executions.start(namespace, converted));
        } catch (error) {
          // One that is refused does not stop the others; what is no refusal fails the call.
          if (error instanceof HeadraceError) return refusedResult(error);
          throw error;
        }
      });
      return { results: await Promise.all(results) };
    },
  };
}

function convertWait(request: StartExecutionRequest): number | undefined {
  const check = new FieldCheck();
  const waitMs = convertDurationUpTo(check, "wait", request.wait, WAIT_MAX_MS);
  check.finish();
  return waitMs;
}

interface StartWait {
  readonly waitMs: number;
  readonly context: Context;
}

/** Starts, and reads the execution at its end or when the wait is over. */
async function startAndWait(
  executions: ExecutionApi,
  namespace: string,
  start: StartRequest,
  { waitMs, context }: StartWait,
): Promise<{ answer: Awaited<ReturnType<ExecutionApi["start"]>>; execution: ExecutionView }> {
  const end = new EndOrTime(waitMs, context.signal);
  try {
    const answer = await executions.start(namespace, { ...start, onEnd: end.over, signal: end.signal });
    if (answer.created) await end.reached;
    else await executions.wait(namespace, answer.executionId, { timeoutMs: waitMs, signal: context.signal });
    return { answer, execution: await executions.get(namespace, answer.executionId) };
  } finally {
    end.over();
  }
}

/** Waits for the end of an execution, a time, or the end of the call, whichever is first. */
class EndOrTime {
  readonly reached: Promise<void>;
  readonly over: () => void;
  readonly #over = new AbortController();

  constructor(waitMs: number, signal: AbortSignal) {
    let resolve = (): void => undefined;
    this.reached = new Promise((resolved) => (resolve = resolved));
    const timer = setTimeout(resolve, waitMs);
    this.over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", this.over);
      this.#over.abort();
      resolve();
    };
    signal.addEventListener("abort", this.over);
  }

  /** Aborts when nobody waits any more. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }
}
