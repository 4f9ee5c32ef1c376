import type { QueryResultRow } from "pg";
import type {
  NewWorkflowVersion,
  WorkflowPage,
  WorkflowStore,
  WorkflowVersion,
  WorkflowVersionSummary,
} from "../engine/workflow-store.js";
import type { Statement } from "./client-work.js";
import type { DatabasePool } from "./pool.js";
import { toHeadraceError } from "./sql-errors.js";
import { statement } from "./statements.js";
import {
  latestWorkflowsPage,
  workflowVersionsPage,
  type PageQuery,
  type SummaryRow,
} from "./workflow-lists.js";

const FIND_NAMESPACE = statement("find_namespace");
const CREATE_NAMESPACE = statement("create_namespace");
const PUT_VERSION = statement("put_workflow_version");
const FIND_LATEST = statement("find_latest_version");
const READ_LATEST = statement("read_latest_workflow");
const READ_VERSIONS = statement("read_workflow_versions");

interface VersionRow extends SummaryRow {
  readonly spec: Buffer;
}

/** Namespaces and workflows in PostgreSQL. */
export class PostgresWorkflowStore implements WorkflowStore {
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  async findNamespace(name: string): Promise<number | undefined> {
    const rows = await this.#rows<{ namespace_id: number }>(FIND_NAMESPACE, [name]);
    return rows[0]?.namespace_id;
  }

  async ensureNamespace(name: string): Promise<number> {
    const found = await this.findNamespace(name);
    if (found !== undefined) return found;
    const created = await this.#rows<{ namespace_id: number }>(CREATE_NAMESPACE, [name]);
    // No row: another replica was faster, and what it wrote is visible by now.
    const id = created[0]?.namespace_id ?? (await this.findNamespace(name));
    if (id === undefined) throw new Error(`Namespace ${name} is neither there nor created`);
    return id;
  }

  async putVersion(version: NewWorkflowVersion): Promise<{ readonly created: boolean }> {
    const rows = await this.#rows<{ created: boolean }>(PUT_VERSION, [
      version.namespaceId,
      version.name,
      version.version,
      version.spec,
      version.taskCount,
      version.description,
    ]);
    return { created: rows[0]?.created === true };
  }

  async findLatestVersion(namespaceId: number, name: string): Promise<string | undefined> {
    const rows = await this.#rows<{ version: string }>(FIND_LATEST, [namespaceId, name]);
    return rows[0]?.version;
  }

  async readLatest(namespaceId: number, name: string): Promise<WorkflowVersion | undefined> {
    const rows = await this.#rows<VersionRow>(READ_LATEST, [namespaceId, name]);
    return rows[0] === undefined ? undefined : toVersion(rows[0]);
  }

  async readVersions(
    namespaceId: number,
    name: string,
    range: { readonly lowest: string; readonly highest: string },
  ): Promise<readonly WorkflowVersion[]> {
    const rows = await this.#rows<VersionRow>(READ_VERSIONS, [
      namespaceId,
      name,
      range.lowest,
      range.highest,
    ]);
    return rows.map(toVersion);
  }

  async listLatest(
    namespaceId: number,
    query: { readonly namePrefix: string; readonly pageSize: number; readonly pageToken: string },
  ): Promise<WorkflowPage> {
    return this.#page(latestWorkflowsPage(namespaceId, query), query.pageSize);
  }

  async listVersions(
    namespaceId: number,
    query: { readonly name: string; readonly pageSize: number; readonly pageToken: string },
  ): Promise<WorkflowPage> {
    return this.#page(workflowVersionsPage(namespaceId, query), query.pageSize);
  }

  /** A page query asks for one row more than the page holds, to learn whether another page follows. */
  async #page(query: PageQuery<SummaryRow>, pageSize: number): Promise<WorkflowPage> {
    const rows = await this.#rows<SummaryRow>({ text: query.text }, query.values);
    const shown = rows.slice(0, pageSize);
    const last = shown.at(-1);
    return {
      items: shown.map(toSummary),
      nextPageToken: last === undefined || rows.length <= pageSize ? "" : query.tokenAfter(last),
    };
  }

  async #rows<R extends QueryResultRow>(sql: Statement, values: readonly unknown[]): Promise<readonly R[]> {
    try {
      return (await this.#pool.query<R>(sql, values)).rows;
    } catch (error) {
      throw toHeadraceError(error);
    }
  }
}

function toSummary(row: SummaryRow): WorkflowVersionSummary {
  return {
    name: row.name,
    version: row.version,
    taskCount: row.task_count,
    description: row.description,
    createdAtMs: Math.floor(row.created_at_us / 1_000),
    latest: row.latest,
  };
}

function toVersion(row: VersionRow): WorkflowVersion {
  return { ...toSummary(row), spec: row.spec };
}
