import type { ClaimedTask, ClaimRequest } from "./lease-store.js";
import { LOWEST_PRIORITY, type ClaimAnswer, type RouteLine } from "./route-line.js";
import type { Session } from "./session.js";

/** What a claim asks of one route for one session. */
export interface Ask {
  readonly session: Session;
  readonly line: RouteLine;
  readonly raised: number;
  readonly request: ClaimRequest;
}

/** Bounds of one claim. */
export interface ClaimBounds {
  /** Tasks in all. */
  readonly tasks: number;
  /** Tasks for one session. */
  readonly tasksEach: number;
  /** Requests that may exceed their bytes by the last of their inputs. */
  readonly overdrafts: number;
}

/**
 * Shares the credit of sessions out to their routes: to those with the highest priority first, and
 * among equals in turn, since credit that comes back one at a time is not enough for all of them.
 */
export class ClaimTurns {
  #turn = 0;
  readonly #sessions = new WeakMap<Session, number>();
  readonly #lines = new WeakMap<Session, Map<RouteLine, number>>();
  readonly #priorityOf: (line: RouteLine) => number;

  constructor(priorityOf: (line: RouteLine) => number) {
    this.#priorityOf = priorityOf;
  }

  /** What to ask for, given the routes of each session that have backlog. */
  ask(backlog: ReadonlyMap<Session, readonly RouteLine[]>, bounds: ClaimBounds): Ask[] {
    const asked: Ask[] = [];
    let left = bounds.tasks;
    const turnOf = ([session]: readonly [Session, unknown]): number => this.#sessions.get(session) ?? 0;
    for (const [session, lines] of [...backlog].sort((a, b) => turnOf(a) - turnOf(b))) {
      const { first, priorityMin } = firstOf(lines, this.#priorityOf);
      let credit = Math.min(left, session.credit, bounds.tasksEach);
      this.#inTurn(session, first).forEach((line, position) => {
        const maxTasks = Math.ceil(credit / (first.length - position));
        if (maxTasks <= 0) return;
        const overdraws = asked.length < bounds.overdrafts;
        const { sessionId } = session;
        const request = { ...line.route, maxTasks, sessionId, priorityMin, overdraws };
        asked.push({ session, line, raised: line.raised, request });
        this.#hadTurn(session, line, overdraws);
        credit -= maxTasks;
        left -= maxTasks;
      });
    }
    return asked;
  }

  /** Its routes, that which was not asked for the longest time first. */
  #inTurn(session: Session, lines: readonly RouteLine[]): RouteLine[] {
    const turns = this.#lines.get(session);
    const turnOf = (line: RouteLine): number => turns?.get(line) ?? 0;
    return [...lines].sort((a, b) => turnOf(a) - turnOf(b));
  }

  /** A large input fits only into a request that may overdraw, so without that it was no full turn. */
  #hadTurn(session: Session, line: RouteLine, overdraws: boolean): void {
    if (!overdraws) return;
    const turns = this.#lines.get(session) ?? new Map<RouteLine, number>();
    this.#lines.set(session, turns.set(line, ++this.#turn));
    this.#sessions.set(session, this.#turn);
  }
}

/** The lines with the highest priority, and how far down they go before others have as high a one. */
function firstOf(
  lines: readonly RouteLine[],
  priorityOf: (line: RouteLine) => number,
): { first: readonly RouteLine[]; priorityMin: number } {
  let highest = LOWEST_PRIORITY;
  let priorityMin = LOWEST_PRIORITY;
  for (const priority of lines.map(priorityOf)) {
    if (priority > highest) [highest, priorityMin] = [priority, highest];
    else if (priority < highest) priorityMin = Math.max(priorityMin, priority);
  }
  return { first: lines.filter((line) => priorityOf(line) === highest), priorityMin };
}

/** What the tasks tell that a request with so many bytes was given. */
export function answerOf(
  { maxTasks, priorityMin, overdraws }: ClaimRequest,
  tasks: readonly ClaimedTask[],
  bytesMax: number,
): ClaimAnswer {
  const bytes = tasks.reduce((sum, { input }) => sum + input.data.length, 0);
  const isFull = tasks.length === maxTasks || bytes >= bytesMax;
  const left = isFull ? "some" : overdraws ? "none" : "unknown";
  return { left, priorityMin, priority: tasks.at(-1)?.priority };
}
