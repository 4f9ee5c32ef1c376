import test from "ava";
import { UNSENT_FRAME, holdAttempt, type HeldAttempt } from "../../server/engine/held-attempt.js";
import { Session, type SessionOwner } from "../../server/engine/session.js";
import { scriptedWorker } from "../support/scripted-worker.js";

interface Watched {
  readonly session: Session;
  /** The credit at each time that the session said that it has some. */
  readonly granted: number[];
}

function openSession(polls = false): Watched {
  const granted: number[] = [];
  const owner: SessionOwner = {
    granted: ({ credit }) => granted.push(credit),
    report: () => undefined,
    disconnected: () => undefined,
    drained: () => undefined,
    stirred: () => undefined,
    nowMs: () => 0,
  };
  const facts = { sessionId: "s", namespaceId: 1, workerName: "w", handlers: ["a"], queues: ["q"] };
  const limits = { slots: 1, polls, silenceMs: 1_000, creditMax: 10 };
  return { session: new Session({ ...facts, ...limits }, scriptedWorker(), owner), granted };
}

function attemptOf(lease: number, crashes: number): HeldAttempt {
  const ref = { executionId: "e", taskId: "t", mapIndex: -1, attempt: 1, lease };
  const timeouts = { attemptTimeoutMs: undefined, heartbeatTimeoutMs: undefined, totalDueAtMs: undefined };
  const facts = { namespaceId: 1, ref, sessionId: "s", crashes, startedAtMs: 0, ...timeouts };
  return holdAttempt(facts, UNSENT_FRAME, 0);
}

test("a task that comes again before its earlier hand-out ended is one suspect", (t) => {
  const { session } = openSession();
  session.hold(attemptOf(1, 1));
  session.hold(attemptOf(3, 2));
  t.is(session.suspects, 1);
  t.false(session.release("e/t", 1), "the earlier one is over");
  t.true(session.release("e/t", 3));
  t.is(session.suspects, 0);
  session.hold(attemptOf(5, 2));
  session.hold(attemptOf(7, 0));
  t.is(session.suspects, 0);
});

test("credit that comes back is never more than the last poll asked for", (t) => {
  const { session, granted } = openSession(true);
  session.setCredit(2);
  session.take(2);
  session.setCredit(0);
  session.giveBack(1);
  t.is(session.credit, 0, "nobody asks");
  session.setCredit(1);
  t.is(session.credit, 0, "the one that is set aside may come");
  t.deepEqual(granted, [2]);
  session.giveBack(1);
  t.is(session.credit, 1);
  t.deepEqual(granted, [2, 1]);
});
