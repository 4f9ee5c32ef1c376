import type { Aftermath } from "./build-writes.js";
import type { Group } from "./group.js";

/** What must happen after a commit, and only then. Never throws. */
export interface Effects {
  committed(groups: readonly Group[], aftermath: Aftermath): void;
}
