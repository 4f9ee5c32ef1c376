import type { Route } from "./hand-off.js";
import type { Session } from "./session.js";

/** Names a route in maps. Names hold no NUL. */
export function routeKey(route: Route): string {
  return `${route.namespaceId}\0${route.queue}\0${route.handler}`;
}

/** No task has a lower one; a claim that is bounded by it takes all. */
export const LOWEST_PRIORITY = -32_768;

/** What a look at the database found of a route. */
export interface FoundBacklog {
  /** The highest of its READY tasks; undefined when there is none. */
  readonly priority: number | undefined;
  readonly suspects: boolean;
}

/** What one request of a claim came to. */
export interface ClaimAnswer {
  /** Whether READY tasks of `priorityMin` or more are left. */
  readonly left: "none" | "some" | "unknown";
  readonly priorityMin: number;
  /** Of the last task that it gave. */
  readonly priority: number | undefined;
}

/** What a replica knows of one route: who serves it here, and whether work waits in the database. */
export class RouteLine {
  readonly route: Route;
  readonly #sessions: Session[] = [];
  #next = 0;
  /** READY tasks are known to wait. New work then joins them instead of overtaking them. */
  #backlog = false;
  /** READY tasks or suspects may wait, written by another replica or before this one came. */
  #doubt = true;
  #suspects = false;
  /** None of the READY tasks that are known has a higher one. */
  priority = LOWEST_PRIORITY;
  /** READY tasks came whose priority is not known. */
  #unsure = false;
  /** Grows with whatever is told, so that an answer that was on its way does not hide it. */
  raised = 0;
  /** The count of grants at which nobody had credit; spares a search for each task of a large fan-out. */
  #searchedAt = -1;

  constructor(route: Route) {
    this.route = route;
  }

  join(session: Session): void {
    if (!this.#sessions.includes(session)) this.#sessions.push(session);
    this.#searchedAt = -1;
    this.doubt();
  }

  leave(session: Session): void {
    const position = this.#sessions.indexOf(session);
    if (position >= 0) this.#sessions.splice(position, 1);
  }

  get sessions(): readonly Session[] {
    return this.#sessions;
  }

  get credit(): number {
    return this.#sessions.reduce((sum, session) => sum + session.credit, 0);
  }

  get hasBacklog(): boolean {
    return this.#backlog;
  }

  get mayHaveBacklog(): boolean {
    return this.#backlog || this.#doubt;
  }

  get hasSuspects(): boolean {
    return this.#suspects;
  }

  /** Whether a session with credit has something to do here. */
  get isOpen(): boolean {
    return this.#backlog || this.#doubt || this.#suspects;
  }

  /** Priorities matter only to a session for which another of its routes may have backlog, too. */
  mustLook(competes: boolean): boolean {
    return this.#doubt || (this.#unsure && competes);
  }

  /**
   * The next session in turn that takes a task, unless older work of the route must go first.
   * `grants` counts how often credit came to any session.
   */
  nextFree(grants: number): Session | undefined {
    if (this.#backlog || this.#searchedAt === grants) return undefined;
    for (let tried = 0; tried < this.#sessions.length; tried++) {
      const session = this.#sessions[this.#next++ % this.#sessions.length];
      if (session !== undefined && session.credit > 0) return session;
    }
    this.#searchedAt = grants;
    return undefined;
  }

  raise(suspect: boolean): void {
    this.raised++;
    if (suspect) this.#suspects = true;
    else this.#backlog = this.#unsure = true;
  }

  doubt(): void {
    this.raised++;
    this.#doubt = true;
  }

  looked(raised: number, { priority, suspects }: FoundBacklog): void {
    if (priority !== undefined) {
      this.#backlog = true;
      this.priority = priority;
    }
    if (suspects) this.#suspects = true;
    if (raised !== this.raised) return;
    this.#doubt = this.#unsure = false;
    this.#backlog = priority !== undefined;
    this.#suspects = suspects;
  }

  claimed(raised: number, { left, priorityMin, priority }: ClaimAnswer): void {
    if (priority !== undefined) this.priority = priority;
    // A look is cheaper than to ask again. Another request may have told already.
    if (left === "unknown" && this.#backlog) this.#doubt = true;
    if (left !== "none") return;
    // Also when something was raised meanwhile: otherwise a route that is raised all the time would
    // be asked in vain for ever, before one whose priority is known.
    this.priority = Math.max(LOWEST_PRIORITY, priorityMin - 1);
    if (priorityMin === LOWEST_PRIORITY && raised === this.raised) this.#backlog = this.#unsure = false;
  }

  claimedSuspects(raised: number, { left }: ClaimAnswer): void {
    if (left === "unknown" && this.#suspects) this.#doubt = true;
    if (left === "none" && raised === this.raised) this.#suspects = false;
  }
}
