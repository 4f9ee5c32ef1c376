import knex from "knex";
import type { QueryResultRow } from "pg";
import { decodePageToken, encodePageToken, type PagedList } from "../core/page-token.js";

/** SQL of one page, which selects one row more than the page holds. */
export interface PageQuery<Row> {
  readonly text: string;
  readonly values: readonly unknown[];
  /** The token of the page after this row. */
  readonly tokenAfter: (last: Row) => string;
}

/** A row of workflow_versions without its content. */
export interface SummaryRow extends QueryResultRow {
  readonly name: string;
  readonly version: string;
  readonly task_count: number;
  readonly description: string;
  readonly created_at_us: number;
  readonly latest: boolean;
}

/** Builds SQL only; it has no connection. */
const sql = knex({ client: "pg" });

const CREATED_AT_US = "(extract(epoch from v.created_at) * 1000000)::bigint";

/** The latest version of each workflow, by name. Throws INVALID_FIELD for a foreign page token. */
export function latestWorkflowsPage(
  namespaceId: number,
  query: { readonly namePrefix: string; readonly pageSize: number; readonly pageToken: string },
): PageQuery<SummaryRow> {
  const list: PagedList<readonly ["text"]> = {
    name: "workflows",
    filter: [namespaceId, query.namePrefix],
    kinds: ["text"],
  };
  const after = decodePageToken(list, query.pageToken);
  const builder = selectSummaries(namespaceId)
    .whereRaw("v.version = w.latest_version")
    // The comparison serves the index, the function decides.
    .where("w.name", ">=", query.namePrefix)
    .whereRaw("starts_with(w.name, ?)", [query.namePrefix])
    .orderBy("w.name")
    .limit(query.pageSize + 1);
  if (after !== undefined) builder.where("w.name", ">", after[0]);
  return { ...compile(builder), tokenAfter: (last) => encodePageToken(list, [last.name]) };
}

/** The versions of one workflow, newest first. Throws INVALID_FIELD for a foreign page token. */
export function workflowVersionsPage(
  namespaceId: number,
  query: { readonly name: string; readonly pageSize: number; readonly pageToken: string },
): PageQuery<SummaryRow> {
  const list: PagedList<readonly ["integer", "uuid"]> = {
    name: "workflow versions",
    filter: [namespaceId, query.name],
    kinds: ["integer", "uuid"],
  };
  const after = decodePageToken(list, query.pageToken);
  const builder = selectSummaries(namespaceId)
    .where("w.name", query.name)
    .orderBy([
      { column: "v.created_at", order: "desc" },
      { column: "v.version", order: "desc" },
    ])
    .limit(query.pageSize + 1);
  if (after !== undefined) {
    const position = "(timestamptz 'epoch' + ? * interval '1 microsecond', ?::uuid)";
    builder.whereRaw(`(v.created_at, v.version) < ${position}`, after);
  }
  return {
    ...compile(builder),
    tokenAfter: (last) => encodePageToken(list, [last.created_at_us, last.version]),
  };
}

function selectSummaries(namespaceId: number): ReturnType<typeof sql.queryBuilder> {
  return sql
    .queryBuilder()
    .from("workflows as w")
    .joinRaw("join workflow_versions as v on v.namespace_id = w.namespace_id and v.name = w.name")
    .select("v.name", "v.version", "v.task_count", "v.description")
    .select(sql.raw(`${CREATED_AT_US} as created_at_us`), sql.raw("v.version = w.latest_version as latest"))
    .where("w.namespace_id", namespaceId);
}

function compile(builder: ReturnType<typeof selectSummaries>): { text: string; values: readonly unknown[] } {
  const native = builder.toSQL().toNative();
  return { text: native.sql, values: native.bindings };
}
