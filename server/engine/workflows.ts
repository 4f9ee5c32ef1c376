import { compilePlan } from "../core/compile-plan.js";
import { decodeSpec, encodeSpec } from "../core/encode-spec.js";
import { invalidWorkflow } from "../core/invalid-workflow.js";
import type { Limits } from "../core/limits.js";
import type { WorkflowProblem } from "../core/workflow-problem.js";
import type { WorkflowSpec } from "../core/workflow-spec.js";
import type { Page, StoredWorkflow, WorkflowApi, WorkflowSummary } from "./api.js";
import { findVersion, workflowNotFound, type PlanCache } from "./plan-cache.js";
import type {
  WorkflowPage,
  WorkflowStore,
  WorkflowVersion,
  WorkflowVersionSummary,
} from "./workflow-store.js";
import { versionText } from "./workflow-version.js";

/** What the use cases of workflows work with. */
export interface WorkflowContext {
  readonly store: WorkflowStore;
  readonly plans: PlanCache;
  readonly limits: Limits;
}

/** Storing and reading the definitions of workflows. */
export class Workflows implements WorkflowApi {
  readonly #store: WorkflowStore;
  readonly #plans: PlanCache;
  readonly #limits: Limits;

  constructor({ store, plans, limits }: WorkflowContext) {
    this.#store = store;
    this.#plans = plans;
    this.#limits = limits;
  }

  async put(
    namespace: string,
    spec: WorkflowSpec,
  ): Promise<{ name: string; version: string; created: boolean }> {
    const compiled = compilePlan(spec, this.#limits);
    if ("problems" in compiled) {
      const violations = compiled.problems.map(({ path, ...problem }) => ({ field: path, ...problem }));
      throw invalidWorkflow(spec.name, violations);
    }
    const { plan } = compiled;
    const namespaceId = await this.#plans.ensureNamespaceId(namespace);
    const { created } = await this.#store.putVersion({
      namespaceId,
      name: spec.name,
      version: plan.version,
      spec: encodeSpec(spec),
      taskCount: spec.tasks.length,
      description: spec.description ?? "",
    });
    this.#plans.noteStored(namespaceId, plan);
    return { name: spec.name, version: versionText(plan.version), created };
  }

  async get(namespace: string, name: string, version: string): Promise<StoredWorkflow> {
    const namespaceId = await this.#plans.namespaceId(namespace);
    if (version !== "") return toStored(await findVersion(this.#store, namespaceId, name, version));
    const latest = await this.#store.readLatest(namespaceId, name);
    if (latest === undefined) throw workflowNotFound(name);
    return toStored(latest);
  }

  async list(
    namespace: string,
    query: { namePrefix: string; pageSize: number; pageToken: string },
  ): Promise<Page<WorkflowSummary>> {
    const namespaceId = await this.#plans.namespaceId(namespace);
    return toPage(await this.#store.listLatest(namespaceId, query));
  }

  async listVersions(
    namespace: string,
    query: { name: string; pageSize: number; pageToken: string },
  ): Promise<Page<WorkflowSummary>> {
    const namespaceId = await this.#plans.namespaceId(namespace);
    const page = await this.#store.listVersions(namespaceId, query);
    // A stored workflow has at least one version, and a later page begins after a row that was there.
    if (page.items.length === 0 && query.pageToken === "") throw workflowNotFound(query.name);
    return toPage(page);
  }

  /** The namespace plays no part yet: what is valid is the same everywhere. */
  async validate(
    _namespace: string,
    spec: WorkflowSpec,
  ): Promise<{ problems: readonly WorkflowProblem[]; version: string }> {
    const compiled = compilePlan(spec, this.#limits);
    if ("problems" in compiled) return { problems: compiled.problems, version: "" };
    return { problems: [], version: versionText(compiled.plan.version) };
  }
}

function toSummary(row: WorkflowVersionSummary): WorkflowSummary {
  const { name, version, description, taskCount, createdAtMs, latest } = row;
  return { name, version: versionText(version), description, taskCount, createdAtMs, latest };
}

function toStored(row: WorkflowVersion): StoredWorkflow {
  return { ...toSummary(row), spec: decodeSpec(row.spec) };
}

function toPage(page: WorkflowPage): Page<WorkflowSummary> {
  return { items: page.items.map(toSummary), nextPageToken: page.nextPageToken };
}
