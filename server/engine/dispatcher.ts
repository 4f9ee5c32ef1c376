import { traceparentOf } from "../core/trace-context.js";
import type { Assignment } from "./api.js";
import type { Clock } from "./clock.js";
import type { HandOff, Reservation, Route } from "./hand-off.js";
import { holdAttempt, UNSENT_FRAME, type HeldAttempt } from "./held-attempt.js";
import type { ClaimedTask, ClaimRequest, LeaseStore } from "./lease-store.js";
import type { Log } from "./log.js";
import { Loop } from "./loop.js";
import { RouteLine, routeKey } from "./route-line.js";
import type { Session } from "./session.js";

/** Bounds of the dispatcher. */
export interface DispatcherOptions {
  /** How often backlog is looked for although nobody told of any. */
  readonly pollMs: number;
  /** Tasks and bytes that one claim asks for at most. */
  readonly claimTasks: number;
  readonly claimBytes: number;
}

/** Polling is the truth, so it is never slower than a second. */
export const DEFAULT_DISPATCHER_OPTIONS: DispatcherOptions = {
  pollMs: 1_000,
  claimTasks: 1_000,
  claimBytes: 16 * 1024 * 1024,
};

/**
 * Brings ready tasks and free workers together. A commit hands new tasks straight to sessions that
 * have credit (`reserve`); whatever finds no credit becomes backlog in the database, and is claimed
 * from there, oldest first within its priority, as soon as credit is granted.
 */
export class Dispatcher implements HandOff {
  readonly #lines = new Map<string, RouteLine>();
  /** The lines of each session. */
  readonly #sessions = new Map<Session, readonly RouteLine[]>();
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #options: DispatcherOptions;
  readonly #claims: Loop;
  #pollDueMs = 0;

  constructor(
    store: LeaseStore,
    clock: Clock,
    log: Log,
    options: DispatcherOptions = DEFAULT_DISPATCHER_OPTIONS,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#options = options;
    this.#claims = new Loop("claims", log, () => this.#claim());
  }

  start(): void {
    this.#claims.start();
  }

  async stop(): Promise<void> {
    await this.#claims.stop();
  }

  /** A session may be given tasks from now on. Backlog of its routes is unknown until it was asked for. */
  add(session: Session): void {
    const lines = routesOf(session).map((route) => this.#lineOf(route));
    this.#sessions.set(session, lines);
    for (const line of lines) line.join(session);
    if (session.credit > 0) this.#claims.wake();
  }

  remove(session: Session): void {
    for (const line of this.#linesOf(session)) {
      line.leave(session);
      if (line.isEmpty) this.#lines.delete(routeKey(line.route));
    }
    this.#sessions.delete(session);
  }

  /** Credit was granted to a session: backlog of its routes can move. */
  granted(session: Session): void {
    for (const line of this.#linesOf(session)) {
      line.creditReturned();
      if (line.mayHaveBacklog) this.#claims.wake();
    }
  }

  /** A suspect ended on a session, which may take the next one. */
  suspectEnded(): void {
    for (const line of this.#lines.values()) if (line.hasSuspects) return this.#claims.wake();
  }

  /** Another replica says that work is ready somewhere. */
  rescan(): void {
    for (const line of this.#lines.values()) line.doubt();
    this.#claims.wake();
  }

  reserve(route: Route, inputBytes: number): Reservation | undefined {
    const session = this.#lines.get(routeKey(route))?.nextFree();
    if (session === undefined) return undefined;
    session.take(1, inputBytes);
    return {
      sessionId: session.sessionId,
      release: () => session.giveBack(1, inputBytes),
      deliver: (attempt, assignment) => session.deliver([attempt], [assignment], inputBytes),
    };
  }

  raise(route: Route, suspect: boolean): void {
    const line = this.#lines.get(routeKey(route));
    if (line === undefined) return;
    line.raise(suspect);
    this.#claims.wake();
  }

  /** Whether somebody here serves the route, how many slots are free, and whether older work waits. */
  describe(route: Route): { workers: number; credit: number; backlog: boolean } {
    const line = this.#lines.get(routeKey(route));
    return { workers: line?.workers ?? 0, credit: line?.credit ?? 0, backlog: line?.mayHaveBacklog ?? false };
  }

  /** Asks the database for backlog as long as there is credit for it; answers when to look again. */
  async #claim(): Promise<number> {
    const nowMs = performance.now();
    if (nowMs >= this.#pollDueMs) {
      this.#pollDueMs = nowMs + this.#options.pollMs;
      for (const line of this.#lines.values()) line.doubt();
    }
    // Suspects go first: a session has one at a time, and behind backlog that never ends they would starve.
    const askedSuspects = await this.#claimRound(true);
    const asked = await this.#claimRound(false);
    return asked || askedSuspects ? 0 : Math.max(1, this.#pollDueMs - performance.now());
  }

  /**
   * One claim for all sessions with credit; false when nobody asked. After a claim another round may
   * find more: routes for which there was no credit left had not been asked.
   */
  async #claimRound(suspects: boolean): Promise<boolean> {
    const asked = this.#ask(suspects);
    if (asked.length === 0) return false;
    for (const { session, request } of asked) session.take(request.maxTasks);
    const requests = asked.map(({ request }) => request);
    const bytesMax = Math.ceil(this.#options.claimBytes / asked.length);
    let claimed: readonly ClaimedTask[] = [];
    try {
      claimed = await (suspects
        ? this.#store.claimSuspects(requests, bytesMax)
        : this.#store.claimTasks(requests, bytesMax));
    } catch (error) {
      for (const { session, request } of asked) session.giveBack(request.maxTasks);
      throw error;
    }
    this.#deal(asked, claimed, { bytesMax, suspects });
    return true;
  }

  /** Splits the credit of each session over its routes that may have backlog. */
  #ask(suspects: boolean): Asked[] {
    const asked: Asked[] = [];
    let left = this.#options.claimTasks;
    for (const session of this.#sessions.keys()) {
      if (session.credit <= 0 || left <= 0 || (suspects && session.suspects > 0)) continue;
      const lines = this.#linesOf(session).filter((line) =>
        suspects ? line.hasSuspects : line.mayHaveBacklog,
      );
      let credit = suspects ? 1 : session.credit;
      lines.forEach((line, position) => {
        const share = Math.ceil(credit / (lines.length - position));
        const maxTasks = Math.min(share, left);
        if (maxTasks <= 0) return;
        asked.push({
          session,
          line,
          raised: line.raised,
          request: { ...line.route, maxTasks, sessionId: session.sessionId },
        });
        credit -= maxTasks;
        left -= maxTasks;
      });
    }
    return asked;
  }

  #deal(
    asked: readonly Asked[],
    claimed: readonly ClaimedTask[],
    { bytesMax, suspects }: { bytesMax: number; suspects: boolean },
  ): void {
    const byRequest = new Map<number, ClaimedTask[]>();
    for (const task of claimed) {
      const tasks = byRequest.get(task.ordinal);
      if (tasks === undefined) byRequest.set(task.ordinal, [task]);
      else tasks.push(task);
    }
    asked.forEach(({ session, line, raised, request }, position) => {
      const tasks = byRequest.get(position + 1) ?? [];
      session.giveBack(request.maxTasks - tasks.length);
      const bytes = tasks.reduce((sum, { input }) => sum + input.data.length, 0);
      line.claimed({ more: tasks.length === request.maxTasks || bytes >= bytesMax, raised, suspects });
      if (tasks.length > 0) this.#deliverClaimed(session, tasks);
    });
  }

  #deliverClaimed(session: Session, tasks: readonly ClaimedTask[]): void {
    const nowMs = this.#clock.nowMs();
    const attempts: HeldAttempt[] = tasks.map((task) =>
      holdAttempt({ ...task, ref: refOf(task) }, UNSENT_FRAME, nowMs),
    );
    session.deliver(
      attempts,
      tasks.map((task, position) => assignmentOf(task, attempts[position]?.dueAtMs)),
    );
  }

  #lineOf(route: Route): RouteLine {
    const key = routeKey(route);
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, (line = new RouteLine(route)));
    return line;
  }

  #linesOf(session: Session): readonly RouteLine[] {
    return this.#sessions.get(session) ?? [];
  }
}

interface Asked {
  readonly session: Session;
  readonly line: RouteLine;
  readonly raised: number;
  readonly request: ClaimRequest;
}

function routesOf(session: Session): Route[] {
  const { namespaceId, queues, handlers } = session.facts;
  return queues.flatMap((queue) => handlers.map((handler) => ({ namespaceId, queue, handler })));
}

function refOf(task: ClaimedTask): HeldAttempt["ref"] {
  const { executionId, taskId, mapIndex, attempt, lease } = task;
  return { executionId, taskId, mapIndex, attempt, lease };
}

function assignmentOf(task: ClaimedTask, deadlineAtMs: number | undefined): Assignment {
  return {
    attempt: refOf(task),
    handler: task.handler,
    queue: task.queue,
    input: task.input,
    workflow: task.workflow,
    maxAttempts: task.maxAttempts,
    crashes: task.crashes,
    deadlineAtMs,
    heartbeatTimeoutMs: task.heartbeatTimeoutMs,
    heartbeatDetails: task.heartbeat,
    traceparent: traceparentOf(task, task.traceId, task.traceFlags),
  };
}
