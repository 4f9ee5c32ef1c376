import type { AttemptRef, HelloRequest, SessionSink, WelcomeAnswer, WorkerSession } from "./api.js";
import { handOutKey, heldKey, holdAttempt, refOf, type HeldAttempt } from "./held-attempt.js";
import { uuidv7 } from "./ids.js";
import type { HeldTask, SessionRow } from "./lease-store.js";
import { Session, type SessionFacts } from "./session.js";
import type { SessionContext, Sessions } from "./sessions.js";

/** Opens the session of a worker stream, or goes on with one whose stream broke. */
export async function connectWorker(
  context: SessionContext,
  sessions: Sessions,
  namespaceId: number,
  hello: HelloRequest,
  sink: SessionSink,
): Promise<{ session: WorkerSession; welcome: WelcomeAnswer }> {
  const resumed = await resume(context, sessions, namespaceId, hello, sink);
  if (resumed !== undefined) return resumed;
  const row = sessionRow(context, namespaceId, uuidv7(context.clock.nowMs()), hello);
  const session = await open(context, sessions, row, sink);
  session.grant(hello.credit);
  const stale = (hello.resume?.held ?? []).map((attempt) => ({ attempt, reason: "SESSION_LOST" }));
  return { session, welcome: welcome(context, session, { resumed: false, stale }) };
}

async function open(
  context: SessionContext,
  sessions: Sessions,
  row: SessionRow,
  sink: SessionSink,
): Promise<Session> {
  // However long the answer takes, the row is not taken for one that nobody serves.
  const letGo = await sessions.keepOpen(row.sessionId);
  try {
    await context.store.openSession(row);
    const session = new Session(factsOf(context, row), sink, sessions);
    sessions.add(session, []);
    return session;
  } finally {
    letGo();
  }
}

async function resume(
  context: SessionContext,
  sessions: Sessions,
  namespaceId: number,
  hello: HelloRequest,
  sink: SessionSink,
): Promise<{ session: WorkerSession; welcome: WelcomeAnswer } | undefined> {
  if (hello.resume === undefined) return undefined;
  const { sessionId, held } = hello.resume;
  const letGo = await sessions.keepOpen(sessionId);
  try {
    const row = sessionRow(context, namespaceId, sessionId, hello);
    if (!(await context.outages.watch(context.store.resumeSession(row)))) return undefined;
    const before = sessions.get(sessionId);
    if (before !== undefined) sessions.replace(before);
    const tasks = await context.outages.watch(context.store.readHeldTasks([sessionId]));
    const session = new Session(factsOf(context, row), sink, sessions);
    const stale = takeOver(context, sessions, { session, before, ...compareHeld(held, tasks) });
    session.grant(hello.credit);
    return { session, welcome: welcome(context, session, { resumed: true, stale }) };
  } finally {
    letGo();
  }
}

/** Begins a stream with what stands of its session; the rest goes to others. */
function takeOver(
  { clock }: SessionContext,
  sessions: Sessions,
  {
    session,
    before,
    standing,
    undelivered,
    stale,
  }: ReturnType<typeof compareHeld> & { session: Session; before: Session | undefined },
): WelcomeAnswer["stale"] {
  const attempts = standing.map((task) => adoptAttempt(task, before, clock.nowMs()));
  sessions.add(session, attempts);
  for (const task of undelivered) {
    const attempt = adoptAttempt(task, before, clock.nowMs());
    session.hold(attempt);
    sessions.lose(attempt, "UNDELIVERED", false);
  }
  return stale;
}

/** Sets what the worker says that it holds against what the database says. */
export function compareHeld(
  held: readonly AttemptRef[],
  tasks: readonly HeldTask[],
): { standing: HeldTask[]; undelivered: HeldTask[]; stale: WelcomeAnswer["stale"] } {
  const claimed = new Map(held.map((attempt) => [handOutKey(attempt), attempt]));
  const standing: HeldTask[] = [];
  const undelivered: HeldTask[] = [];
  for (const task of tasks) {
    if (claimed.delete(handOutKey(task))) standing.push(task);
    else undelivered.push(task);
  }
  const stale = [...claimed.values()].map((attempt) => ({ attempt, reason: "SUPERSEDED" }));
  return { standing, undelivered, stale };
}

/** A hand-out that the database has, held on a new stream; the worker has it, so frame 0 has carried it. */
export function adoptAttempt(task: HeldTask, before: Session | undefined, nowMs: number): HeldAttempt {
  const next = holdAttempt({ ...task, ref: refOf(task) }, 0, nowMs);
  const previous = before?.held.get(heldKey(task));
  if (previous?.ref.lease === task.lease) {
    next.details = previous.details;
    next.progress = previous.progress;
  }
  return next;
}

/** The row of a session that begins or moves here. */
export function sessionRow(
  context: SessionContext,
  namespaceId: number,
  sessionId: string,
  hello: Omit<HelloRequest, "resume" | "namespace" | "features" | "credit"> & {
    readonly pollTimeoutMs?: number;
  },
): SessionRow {
  const { workerName, sdkName, sdkVersion, buildId, handlers, queues, labels, slots } = hello;
  const worker = { workerName, sdkName, sdkVersion, buildId, handlers, queues, labels, slots };
  return {
    namespaceId,
    sessionId,
    replicaId: context.replicaId,
    ...worker,
    pollTimeoutMs: hello.pollTimeoutMs,
  };
}

/** What the engine keeps of a session in memory. */
export function factsOf({ settings }: SessionContext, row: SessionRow): SessionFacts {
  const { sessionId, namespaceId, workerName, handlers, queues, slots, pollTimeoutMs } = row;
  return {
    sessionId,
    namespaceId,
    workerName,
    handlers,
    queues,
    slots,
    polls: pollTimeoutMs !== undefined,
    silenceMs: pollTimeoutMs ?? settings.beatTimeoutMs,
    creditMax: settings.creditMax,
  };
}

function welcome(
  context: SessionContext,
  session: Session,
  resumed: Pick<WelcomeAnswer, "resumed" | "stale">,
): WelcomeAnswer {
  const { beatIntervalMs, beatTimeoutMs, deliveryTimeoutMs } = context.settings;
  const { replicaId } = context;
  return {
    sessionId: session.sessionId,
    replicaId,
    beatIntervalMs,
    beatTimeoutMs,
    deliveryTimeoutMs,
    ...resumed,
  };
}
