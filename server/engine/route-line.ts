import type { Route } from "./hand-off.js";
import type { Session } from "./session.js";

/** Names a route in maps. Names hold no NUL. */
export function routeKey(route: Route): string {
  return `${route.namespaceId}\0${route.queue}\0${route.handler}`;
}

/** What a replica knows of one route: who serves it here, and whether work waits in the database. */
export class RouteLine {
  readonly route: Route;
  readonly #sessions: Session[] = [];
  #next = 0;
  /** READY tasks are known to wait. New work then joins them instead of overtaking them. */
  #backlog = false;
  /** READY tasks may wait, written by another replica or before this one came. */
  #doubt = true;
  #suspects = true;
  /** Grows with each `raise`, so that a claim that ran at the same time does not hide new work. */
  raised = 0;
  /** Nobody had credit when last asked; spares a search for each task of a large fan-out. */
  #exhausted = false;

  constructor(route: Route) {
    this.route = route;
  }

  join(session: Session): void {
    if (!this.#sessions.includes(session)) this.#sessions.push(session);
    this.#doubt = true;
    this.#suspects = true;
    this.#exhausted = false;
  }

  leave(session: Session): void {
    const position = this.#sessions.indexOf(session);
    if (position >= 0) this.#sessions.splice(position, 1);
  }

  get isEmpty(): boolean {
    return this.#sessions.length === 0;
  }

  get workers(): number {
    return this.#sessions.length;
  }

  get credit(): number {
    return this.#sessions.reduce((sum, session) => sum + session.credit, 0);
  }

  get mayHaveBacklog(): boolean {
    return this.#backlog || this.#doubt;
  }

  get hasSuspects(): boolean {
    return this.#suspects;
  }

  /** The next session in turn that takes a task, unless older work of the route must go first. */
  nextFree(): Session | undefined {
    if (this.#backlog || this.#exhausted) return undefined;
    for (let tried = 0; tried < this.#sessions.length; tried++) {
      const session = this.#sessions[this.#next++ % this.#sessions.length];
      if (session !== undefined && session.credit > 0) return session;
    }
    this.#exhausted = true;
    return undefined;
  }

  creditReturned(): void {
    this.#exhausted = false;
  }

  raise(suspect: boolean): void {
    this.raised++;
    if (suspect) this.#suspects = true;
    else this.#backlog = true;
  }

  doubt(): void {
    this.#doubt = true;
    this.#suspects = true;
  }

  /** Takes in what a claim gave. `more`: it gave all that was asked for, so that there may be more. */
  claimed({ more, raised, suspects }: { more: boolean; raised: number; suspects: boolean }): void {
    if (more) {
      if (!suspects) this.#backlog = true;
      return;
    }
    if (raised !== this.raised) return;
    if (suspects) this.#suspects = false;
    else this.#backlog = this.#doubt = false;
  }
}
