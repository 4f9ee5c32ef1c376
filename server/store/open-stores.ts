import { randomUUID } from "node:crypto";
import type { Hint, NotifyPort } from "../engine/notifier.js";
import { PostgresCommitStore } from "./commit-store.js";
import type { DatabaseConfig } from "./connection.js";
import { PostgresExecutionStore } from "./execution-store.js";
import { PostgresLeaseStore } from "./lease-store.js";
import { openListener } from "./listener.js";
import { openPipeline } from "./pipeline-client.js";
import { DatabasePool } from "./pool.js";
import { PostgresWorkflowStore } from "./workflow-store.js";

/** How the stores use the database. */
export interface StoreOptions {
  readonly lanes: number;
  /** Whether to LISTEN and NOTIFY. */
  readonly notify: boolean;
  readonly log: (message: string) => void;
}

/** Every store of a server, over one set of connections. */
export interface Stores {
  readonly commits: PostgresCommitStore;
  readonly leases: PostgresLeaseStore;
  readonly executions: PostgresExecutionStore;
  readonly workflows: PostgresWorkflowStore;
  readonly notify: NotifyPort;
  close(): Promise<void>;
}

const HINTS: readonly Hint[] = ["work", "executions"];

/** Opens the stores. Connections are made when they are first used. */
export function openStores(config: DatabaseConfig, options: StoreOptions): Stores {
  const pool = new DatabasePool(config, options.log);
  const lanes = Array.from({ length: options.lanes }, (_, lane) =>
    openPipeline(config, { purpose: `lane ${lane}`, hot: true }),
  );
  const claims = openPipeline(config, { purpose: "claims", hot: true });
  const commits = new PostgresCommitStore(lanes);
  // PostgreSQL tells the sender as well, which knows already.
  const self = randomUUID();
  const listeners: Array<(hint: Hint) => void> = [];
  const listener = openListener(config, {
    channels: HINTS,
    enabled: options.notify,
    onNotify: (channel, sender) => {
      const hint = HINTS.find((known) => known === channel);
      if (hint !== undefined && sender !== self) for (const hear of listeners) hear(hint);
    },
    // What was sent while there was no connection is lost, so everything is looked at.
    onConnected: () => {
      for (const hint of HINTS) for (const hear of listeners) hear(hint);
    },
    log: options.log,
  });
  return {
    commits,
    leases: new PostgresLeaseStore(claims, pool),
    executions: new PostgresExecutionStore(pool),
    workflows: new PostgresWorkflowStore(pool),
    notify: {
      notify: async (hints) => {
        for (const hint of hints) await listener.notify(hint, self);
      },
      onHint: (hear) => listeners.push(hear),
    },
    close: async () => {
      await Promise.all([commits.close(), claims.close(), listener.close()]);
      await pool.close();
    },
  };
}
