import { setTimeout as delay } from "node:timers/promises";
import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import { checkHello, checkPoll } from "./check-worker.js";
import type {
  HelloRequest,
  SessionSink,
  WelcomeAnswer,
  WorkerApi,
  WorkerSession,
  WorkerView,
} from "./api.js";
import { connectWorker } from "./connect-worker.js";
import { decodePageToken, encodePageToken } from "../core/page-token.js";
import type { PlanCache } from "./plan-cache.js";
import { PollWorkers } from "./poll-worker.js";
import type { SessionContext, Sessions } from "./sessions.js";

const FIRST_SESSION = "00000000-0000-0000-0000-000000000000";
/** Time for reports and acknowledgements that are on their way. */
const DRAIN_NOTICE_MS = 100;

/** Worker sessions as the transports see them. */
export class Workers implements WorkerApi {
  readonly #context: SessionContext;
  readonly #sessions: Sessions;
  readonly #plans: PlanCache;
  readonly #limits: Limits;
  readonly #polls: PollWorkers;
  #draining = false;

  constructor(context: SessionContext, sessions: Sessions, plans: PlanCache, limits: Limits) {
    this.#context = context;
    this.#sessions = sessions;
    this.#plans = plans;
    this.#limits = limits;
    this.#polls = new PollWorkers(context, sessions);
  }

  async connect(
    hello: HelloRequest,
    sink: SessionSink,
  ): Promise<{ session: WorkerSession; welcome: WelcomeAnswer }> {
    if (this.#draining) throw new HeadraceError("DRAINING", "This replica is stopping.");
    checkHello(hello, this.#limits);
    const namespaceId = await this.#plans.namespaceId(hello.namespace);
    return await connectWorker(this.#context, this.#sessions, namespaceId, hello, sink);
  }

  poll: WorkerApi["poll"] = async (request, signal) => {
    if (this.#draining) throw new HeadraceError("DRAINING", "This replica is stopping.");
    checkPoll(request, this.#limits, this.#context.settings);
    const namespaceId = await this.#plans.namespaceId(request.namespace);
    return await this.#polls.poll(namespaceId, request, signal);
  };

  report: WorkerApi["report"] = async (request) => {
    const namespaceId = await this.#plans.namespaceId(request.namespace);
    return await this.#polls.report(namespaceId, request);
  };

  list: WorkerApi["list"] = async (namespace, { pageSize, pageToken }) => {
    const namespaceId = await this.#plans.namespaceId(namespace);
    const list = { name: "workers", filter: namespaceId, kinds: ["uuid"] } as const;
    const [after] = decodePageToken(list, pageToken) ?? [FIRST_SESSION];
    const rows = await this.#context.store.listSessions(namespaceId, after, pageSize + 1);
    const items: WorkerView[] = rows
      .slice(0, pageSize)
      .map(({ workerName: name, ...row }) => ({ name, ...row }));
    const last = items.at(-1);
    return {
      items,
      nextPageToken:
        rows.length > pageSize && last !== undefined ? encodePageToken(list, [last.sessionId]) : "",
    };
  };

  /**
   * Running tasks need not end first: their leases are in the database, and the workers resume with
   * them on another replica, or on the next process of this one.
   */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const sessions = [...this.#sessions.all];
    for (const session of sessions) session.tellDrain("This replica is stopping; resume on another.");
    if (sessions.length > 0) await delay(Math.min(graceMs, DRAIN_NOTICE_MS));
    for (const session of sessions) session.close(new HeadraceError("DRAINING", "This replica is stopping."));
  }
}
