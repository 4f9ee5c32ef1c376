import type { CommitStore, Writes } from "../../server/engine/commit-store.js";
import { EventLog } from "./event-log.js";

/** Stands before the commits of a replica: sees what each transaction writes, and can hold them up. */
export class CommitGate {
  /** What each transaction that was committed wrote, in order. */
  readonly committed = new EventLog<Writes>();
  #open: Promise<void> = Promise.resolve();

  /** No further transaction begins until the answer is called. */
  shut(): () => void {
    let open: () => void = () => undefined;
    this.#open = new Promise((resolve) => (open = resolve));
    return open;
  }

  readonly wrap = (store: CommitStore): CommitStore => ({
    transact: async (lane, locks, decide) => {
      await this.#open;
      let writes: Writes | undefined;
      await store.transact(lane, locks, async (rows, reader) => (writes = await decide(rows, reader)));
      if (writes !== undefined) this.committed.push(writes);
    },
  });
}

/** Bytes of the inputs that a transaction writes. */
export function inputBytes({ taskInserts, sharedInputs }: Writes): number {
  const own = taskInserts.map(({ input, sharedInputId }) =>
    sharedInputId === undefined ? (input?.data.length ?? 0) : 0,
  );
  return [...own, ...sharedInputs.map(({ input }) => input.data.length)].reduce((sum, n) => sum + n, 0);
}
