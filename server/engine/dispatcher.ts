import { assignmentOf } from "./claimed-assignment.js";
import { answerOf, ClaimTurns, type Ask } from "./claim-turns.js";
import type { Clock } from "./clock.js";
import { findBacklog } from "./find-backlog.js";
import type { HandOff, Reservation, Route } from "./hand-off.js";
import { holdAttempt, refOf, UNSENT_FRAME, type HeldAttempt } from "./held-attempt.js";
import type { ClaimedTask, LeaseStore } from "./lease-store.js";
import type { Log } from "./log.js";
import { Loop } from "./loop.js";
import { LOWEST_PRIORITY, RouteLine, routeKey } from "./route-line.js";
import type { Session } from "./session.js";

/** Bounds of the dispatcher. */
export interface DispatcherOptions {
  /** How often backlog is looked for although nobody told of any. */
  readonly pollMs: number;
  /** Tasks and bytes that one claim asks for at most. */
  readonly claimTasks: number;
  readonly claimBytes: number;
  /** No input of a task has more. */
  readonly inputBytesMax: number;
}

/** Polling is the truth, so it is never slower than a second. */
export const DEFAULT_DISPATCHER_OPTIONS: DispatcherOptions = {
  pollMs: 1_000,
  claimTasks: 1_000,
  claimBytes: 16 * 1024 * 1024,
  inputBytesMax: 2 * 1024 * 1024,
};

/**
 * Brings ready tasks and free workers together. A commit hands new tasks straight to sessions that
 * have credit (`reserve`); whatever finds no credit becomes backlog in the database, and is claimed
 * from there, oldest first within its priority, as soon as credit is granted.
 */
export class Dispatcher implements HandOff {
  readonly #lines = new Map<string, RouteLine>();
  /** Those of the lines that have or may have something to claim. */
  readonly #open = new Set<RouteLine>();
  /** The lines of each session. */
  readonly #sessions = new Map<Session, readonly RouteLine[]>();
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #options: DispatcherOptions;
  readonly #claims: Loop;
  readonly #taskTurns = new ClaimTurns((line) => line.priority);
  /** Suspects are few, and how urgent they are is not known. */
  readonly #suspectTurns = new ClaimTurns(() => LOWEST_PRIORITY);
  #pollDueMs = 0;
  #givesBack = false;
  /** How often credit came to any session. */
  #grants = 0;

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
    for (const line of lines) {
      line.join(session);
      this.#open.add(line);
    }
    if (session.credit > 0) this.#claims.wake();
  }

  remove(session: Session): void {
    for (const line of this.#sessions.get(session) ?? []) {
      line.leave(session);
      if (line.sessions.length > 0) continue;
      this.#lines.delete(routeKey(line.route));
      this.#open.delete(line);
    }
    this.#sessions.delete(session);
  }

  /** Credit came to a session: backlog of its routes can move. */
  granted(session: Session): void {
    this.#grants++;
    if (this.#givesBack) return;
    if (this.#open.size > 0 && this.#sessions.has(session)) this.#claims.wake();
  }

  /** A suspect ended on a session, which may take the next one. */
  suspectEnded(): void {
    for (const line of this.#open) if (line.hasSuspects) return this.#claims.wake();
  }

  /** Another replica says that work is ready somewhere. */
  rescan(): void {
    this.#doubtAll();
    this.#claims.wake();
  }

  reserve(route: Route, inputBytes: number): Reservation | undefined {
    const session = this.#lines.get(routeKey(route))?.nextFree(this.#grants);
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
    this.#open.add(line);
    this.#claims.wake();
  }

  /** Whether somebody here serves the route, how many slots are free, and whether older work waits. */
  describe(route: Route): { workers: number; credit: number; backlog: boolean } {
    const line = this.#lines.get(routeKey(route));
    if (line === undefined) return { workers: 0, credit: 0, backlog: false };
    return { workers: line.sessions.length, credit: line.credit, backlog: line.mayHaveBacklog };
  }

  /** Asks the database for backlog as long as there is credit for it; answers when to look again. */
  async #claim(): Promise<number> {
    const nowMs = performance.now();
    if (nowMs >= this.#pollDueMs) {
      this.#pollDueMs = nowMs + this.#options.pollMs;
      this.#doubtAll();
    }
    await this.#look();
    // Suspects go first: a session has one at a time, and behind backlog that never ends they would starve.
    const askedSuspects = await this.#claimRound(true);
    const asked = await this.#claimRound(false);
    return asked || askedSuspects ? 0 : Math.max(1, this.#pollDueMs - performance.now());
  }

  #doubtAll(): void {
    for (const line of this.#lines.values()) {
      line.doubt();
      this.#open.add(line);
    }
  }

  /** Claims cost a statement for each route, so first it is found out which of them have backlog. */
  async #look(): Promise<void> {
    const lines = new Set<RouteLine>();
    for (const candidates of this.#candidates((line) => line.mayHaveBacklog).values()) {
      for (const line of candidates) if (line.mustLook(candidates.length > 1)) lines.add(line);
    }
    if (lines.size === 0) return;
    await findBacklog(this.#store, lines);
    for (const line of lines) this.#note(line);
  }

  /** The lines that are wanted, by the sessions with credit that serve them. */
  #candidates(wants: (line: RouteLine, session: Session) => boolean): Map<Session, RouteLine[]> {
    const found = new Map<Session, RouteLine[]>();
    for (const line of this.#open) {
      for (const session of line.sessions) {
        if (session.credit <= 0 || !wants(line, session)) continue;
        const lines = found.get(session);
        if (lines === undefined) found.set(session, [line]);
        else lines.push(line);
      }
    }
    return found;
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
      for (const { session, request } of asked) this.#giveBack(session, request.maxTasks);
      throw error;
    }
    this.#deal(asked, claimed, { bytesMax, suspects });
    return true;
  }

  #ask(suspects: boolean): Ask[] {
    const { claimTasks: tasks, claimBytes, inputBytesMax } = this.#options;
    // A claim then has twice its bytes at most, or one input more, however many sessions ask.
    const overdrafts = Math.max(1, Math.floor(claimBytes / inputBytesMax));
    if (!suspects) {
      return this.#taskTurns.ask(
        this.#candidates((line) => line.hasBacklog),
        { tasks, tasksEach: tasks, overdrafts },
      );
    }
    const free = this.#candidates((line, session) => line.hasSuspects && session.suspects === 0);
    return this.#suspectTurns.ask(free, { tasks, tasksEach: 1, overdrafts });
  }

  #deal(
    asked: readonly Ask[],
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
      this.#giveBack(session, request.maxTasks - tasks.length);
      const answer = answerOf(request, tasks, bytesMax);
      if (suspects) line.claimedSuspects(raised, answer);
      else line.claimed(raised, answer);
      this.#note(line);
      if (tasks.length > 0) this.#deliverClaimed(session, tasks);
    });
  }

  /** What a claim did not use wakes nobody: another round follows it, or a pause when it failed. */
  #giveBack(session: Session, count: number): void {
    this.#givesBack = true;
    session.giveBack(count);
    this.#givesBack = false;
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

  /** Whether the line has something to claim may be different now. */
  #note(line: RouteLine): void {
    if (line.isOpen && line.sessions.length > 0) this.#open.add(line);
    else this.#open.delete(line);
  }
}

function routesOf(session: Session): Route[] {
  const { namespaceId, queues, handlers } = session.facts;
  return queues.flatMap((queue) => handlers.map((handler) => ({ namespaceId, queue, handler })));
}
