import knex from "knex";
import type { ExecutionListQuery } from "../engine/execution-store.js";
import type { Statement } from "./client-work.js";

/** Builds SQL text only; it never connects. */
const builder = knex({ client: "pg" });

const COLUMNS = [
  "execution_id",
  "workflow",
  "version",
  "revision",
  "status",
  "labels",
  "idempotency_key",
  "trace_id",
  "cancel_reason",
  "priority",
  "failure",
] as const;

const TIMES = ["created_at", "started_at", "finished_at", "deadline_at", "cancel_requested_at"] as const;

/** One page of executions, newest first; ids are UUIDv7, so their order is that of creation. */
export function executionPage(
  namespaceId: number,
  query: ExecutionListQuery,
): { statement: Statement; values: readonly unknown[] } {
  const select = builder("executions")
    .select(
      ...COLUMNS,
      ...TIMES.map((time) =>
        builder.raw("extract(epoch from ??)::float8 * 1000 as ??", [time, `${time}_ms`]),
      ),
    )
    .where("namespace_id", namespaceId)
    .orderBy("execution_id", "desc")
    .limit(query.limit);
  // The second condition says that the index by workflow may be used.
  if (query.workflow !== "")
    select.where("workflow", query.workflow).where("workflow", "<>", builder.raw("''"));
  if (query.versions !== undefined)
    select.whereRaw("version between ?::uuid and ?::uuid", [query.versions.lowest, query.versions.highest]);
  if (query.statuses.length > 0) select.whereIn("status", [...query.statuses]);
  if (Object.keys(query.labels).length > 0)
    select.whereRaw("labels @> ?::jsonb", [JSON.stringify(query.labels)]);
  if (query.createdAfterMs !== undefined)
    select.whereRaw("created_at >= to_timestamp(?)", [query.createdAfterMs / 1000]);
  if (query.createdBeforeMs !== undefined)
    select.whereRaw("created_at < to_timestamp(?)", [query.createdBeforeMs / 1000]);
  if (query.afterExecutionId !== undefined) select.where("execution_id", "<", query.afterExecutionId);
  const { sql, bindings } = select.toSQL().toNative();
  return { statement: { text: sql }, values: bindings };
}
