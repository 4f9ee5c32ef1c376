import { LRUCache } from "lru-cache";
import { compilePlan } from "../core/compile-plan.js";
import { decodeSpec } from "../core/encode-spec.js";
import { HeadraceError } from "../core/errors.js";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.js";
import { namespaceProblem } from "../core/names.js";
import type { Plan } from "../core/plan.js";
import type { Plans } from "./plans.js";
import type { WorkflowStore, WorkflowVersion } from "./workflow-store.js";
import { parseVersion, versionText } from "./workflow-version.js";

/** Bounds of a PlanCache. */
export interface PlanCacheOptions {
  readonly limits: Limits;
  /** Memory for compiled plans. Default: 64 MiB. */
  readonly maxBytes?: number;
  /** How long this replica may not know that another one has put a new version. Default: 1 s. */
  readonly stalenessMs?: number;
  /** A clock that only goes forward. Default: performance.now. */
  readonly nowMs?: () => number;
}

interface Latest {
  readonly version: string;
  readonly readAtMs: number;
}

const MAX_BYTES = 64 * 1024 * 1024;
const STALENESS_MS = 1_000;
const MAX_NAMES = 10_000;

/**
 * What starts and lanes ask for again and again: the number of a namespace, the latest version of a
 * workflow, a compiled plan. Plans and numbers never change; only the latest version can be stale.
 */
export class PlanCache implements Plans {
  readonly #store: WorkflowStore;
  readonly #storedLimits: Limits;
  readonly #stalenessMs: number;
  readonly #nowMs: () => number;
  readonly #plans: LRUCache<string, Plan>;
  readonly #latest = new LRUCache<string, Latest>({ max: MAX_NAMES });
  readonly #namespaces = new LRUCache<string, number>({ max: MAX_NAMES });
  readonly #loading = new Map<string, Promise<Plan>>();
  readonly #asking = new Map<string, Promise<string>>();

  constructor(store: WorkflowStore, options: PlanCacheOptions) {
    this.#store = store;
    this.#storedLimits = limitsOfStored(options.limits);
    this.#stalenessMs = options.stalenessMs ?? STALENESS_MS;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#plans = new LRUCache({
      maxSize: options.maxBytes ?? MAX_BYTES,
      sizeCalculation: (plan) => Math.max(1, plan.sizeBytes),
    });
  }

  /** The number of a namespace. Throws NAMESPACE_NOT_FOUND, or INVALID_FIELD when it is not a name. */
  async namespaceId(name: string): Promise<number> {
    const known = this.#namespaces.get(name);
    if (known !== undefined) return known;
    checkNamespace(name);
    const found = await this.#store.findNamespace(name);
    if (found === undefined) {
      throw new HeadraceError("NAMESPACE_NOT_FOUND", `There is no namespace "${name}".`, {
        field: "namespace",
      });
    }
    this.#namespaces.set(name, found);
    return found;
  }

  /** The same, and creates the namespace when it is missing. */
  async ensureNamespaceId(name: string): Promise<number> {
    const known = this.#namespaces.get(name);
    if (known !== undefined) return known;
    checkNamespace(name);
    const id = await this.#store.ensureNamespace(name);
    this.#namespaces.set(name, id);
    return id;
  }

  /** The plan of a stored version, written with or without dashes. Throws VERSION_NOT_FOUND when it is not stored. */
  async getPlan(namespaceId: number, workflow: string, version: string): Promise<Plan> {
    const key = planKey(namespaceId, workflow, version);
    const cached = this.#plans.get(key);
    if (cached !== undefined) return cached;
    const loading = this.#loading.get(key) ?? this.#load(namespaceId, workflow, version);
    this.#loading.set(key, loading);
    try {
      const plan = await loading;
      this.#plans.set(key, plan);
      return plan;
    } finally {
      this.#loading.delete(key);
    }
  }

  /**
   * The plan that a client means: the latest for the empty text, otherwise the version that begins
   * so. Throws WORKFLOW_NOT_FOUND, VERSION_NOT_FOUND, or INVALID_FIELD when several begin so.
   */
  async resolve(namespaceId: number, workflow: string, version: string): Promise<Plan> {
    if (version === "") {
      return this.getPlan(namespaceId, workflow, await this.resolveLatest(namespaceId, workflow));
    }
    // Clients that name the whole version, as the SDKs do, ask for it with each start.
    const exact = this.#plans.get(planKey(namespaceId, workflow, version));
    if (exact !== undefined) return exact;
    const { lowest, highest } = parseVersion(version);
    const cached = lowest === highest ? this.#plans.get(planKey(namespaceId, workflow, lowest)) : undefined;
    if (cached !== undefined) return cached;
    const found = await findVersion(this.#store, namespaceId, workflow, version);
    return this.getPlan(namespaceId, workflow, found.version);
  }

  /** The latest version as UUID text, at most a second old. Throws WORKFLOW_NOT_FOUND. */
  async resolveLatest(namespaceId: number, workflow: string): Promise<string> {
    const key = `${namespaceId}/${workflow}`;
    const known = this.#latest.get(key);
    if (known !== undefined && this.#nowMs() - known.readAtMs < this.#stalenessMs) return known.version;
    // One question for all who ask meanwhile: a busy server starts thousands when the answer gets old.
    const asking = this.#asking.get(key) ?? this.#askLatest(namespaceId, workflow, known);
    this.#asking.set(key, asking);
    try {
      return await asking;
    } finally {
      this.#asking.delete(key);
    }
  }

  async #askLatest(namespaceId: number, workflow: string, known: Latest | undefined): Promise<string> {
    const key = `${namespaceId}/${workflow}`;
    const askedAtMs = this.#nowMs();
    const version = await this.#store.findLatestVersion(namespaceId, workflow);
    if (version === undefined) throw workflowNotFound(workflow);
    // A put that went through here meanwhile knows better than this answer.
    const current = this.#latest.get(key);
    if (current !== known && current !== undefined) return current.version;
    this.#latest.set(key, { version, readAtMs: askedAtMs });
    return version;
  }

  /** Takes in what this replica has put, so that it is the latest here at once. */
  noteStored(namespaceId: number, plan: Plan): void {
    this.#plans.set(planKey(namespaceId, plan.workflow, plan.version), plan);
    this.#latest.set(`${namespaceId}/${plan.workflow}`, { version: plan.version, readAtMs: this.#nowMs() });
  }

  async #load(namespaceId: number, workflow: string, version: string): Promise<Plan> {
    const [stored] = await this.#store.readVersions(namespaceId, workflow, {
      lowest: version,
      highest: version,
    });
    if (stored === undefined) throw versionNotFound(workflow, version);
    const compiled = compilePlan(decodeSpec(stored.spec), this.#storedLimits);
    if ("plan" in compiled) return compiled.plan;
    const why = compiled.problems[0]?.message ?? "no reason given";
    throw new HeadraceError(
      "INTERNAL",
      `Stored version ${version} of ${workflow} cannot be compiled: ${why}`,
    );
  }
}

/** The one stored version that begins so. Throws as `PlanCache.resolve` does. */
export async function findVersion(
  store: WorkflowStore,
  namespaceId: number,
  workflow: string,
  version: string,
): Promise<WorkflowVersion> {
  const [found, second] = await store.readVersions(namespaceId, workflow, parseVersion(version));
  if (second !== undefined) {
    throw new HeadraceError(
      "INVALID_FIELD",
      `Several versions of ${workflow} begin with ${version}; write more digits.`,
      { field: "version", actual: version },
    );
  }
  if (found !== undefined) return found;
  const isKnown = (await store.findLatestVersion(namespaceId, workflow)) !== undefined;
  throw isKnown ? versionNotFound(workflow, version) : workflowNotFound(workflow);
}

/** The error for a name under which no workflow is stored. */
export function workflowNotFound(workflow: string): HeadraceError {
  return new HeadraceError("WORKFLOW_NOT_FOUND", `There is no workflow "${workflow}" in this namespace.`);
}

function versionNotFound(workflow: string, version: string): HeadraceError {
  return new HeadraceError("VERSION_NOT_FOUND", `Workflow "${workflow}" has no version ${version}.`);
}

/** Names hold no slash. */
function planKey(namespaceId: number, workflow: string, version: string): string {
  return `${namespaceId}/${workflow}/${versionText(version)}`;
}

function checkNamespace(name: string): void {
  const problem = namespaceProblem(name);
  if (problem === undefined) return;
  throw new HeadraceError("INVALID_FIELD", problem, { field: "namespace" });
}

/**
 * What was accepted once stays valid when limits are lowered later: executions of it may be open.
 * Only the budget of an evaluation still applies.
 */
function limitsOfStored({ expressionSteps }: Limits): Limits {
  const names = Object.keys(DEFAULT_LIMITS);
  const unlimited = Object.fromEntries(names.map((name) => [name, Infinity])) as unknown as Limits;
  return { ...unlimited, expressionSteps };
}
