import { executionKeyText } from "./commit-store.js";
import { Loop } from "./loop.js";
import type { SessionContext, Sessions } from "./sessions.js";

const POLL_MS = 1_000;
const BATCH = 10_000;

/** Tells local workers of cancellations that other replicas committed. */
export class RemoteCancels {
  readonly #context: SessionContext;
  readonly #sessions: Sessions;
  readonly #loop: Loop;

  constructor(context: SessionContext, sessions: Sessions) {
    this.#context = context;
    this.#sessions = sessions;
    this.#loop = new Loop("remote-cancels", context.log, () => this.#look());
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** Another replica says that there is something to see. */
  wake(): void {
    this.#loop.wake();
  }

  async #look(): Promise<number> {
    if (![...this.#sessions.all].some((session) => session.held.size > 0)) return POLL_MS;
    const cancelling = await this.#context.store.cancellingExecutions(BATCH);
    if (cancelling.length === 0) return POLL_MS;
    const dueAt = new Map(cancelling.map((execution) => [executionKeyText(execution), execution.dueAtMs]));
    for (const session of this.#sessions.all) {
      for (const attempt of session.held.values()) {
        const { executionId } = attempt.ref;
        const name = executionKeyText({ namespaceId: attempt.namespaceId, executionId });
        if (attempt.stopping || !dueAt.has(name)) continue;
        const deadlineAtMs = dueAt.get(name);
        const notice = { reason: "EXECUTION_CANCELLED", outcomeWanted: true, deadlineAtMs };
        this.#sessions.tellStop(attempt.ref, session.sessionId, notice);
      }
    }
    return POLL_MS;
  }
}
