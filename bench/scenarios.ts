import type { Scenario } from "./scenario.js";
import { chain } from "./scenarios/chain.js";
import { fanout } from "./scenarios/fanout.js";
import { floor } from "./scenarios/floor.js";
import { latency } from "./scenarios/latency.js";
import { single } from "./scenarios/single.js";

/** Every scenario, in the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [floor, single, latency, chain, fanout];
