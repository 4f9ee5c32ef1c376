/** A node of EXPLAIN (format json), as far as it is looked at. */
export interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly Filter?: string;
  readonly "Parent Relationship"?: string;
  readonly Plans?: readonly PlanNode[];
}

/** For each table, the indexes by which it may be read; "tid" is for rows that are addressed by ctid. */
export type AllowedAccess = Readonly<Record<string, readonly string[]>>;

/** The columns by which each index must be read, so that it gives few rows. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  executions_pkey: ["namespace_id", "execution_id"],
  executions_idempotency_key: ["namespace_id", "idempotency_key"],
  executions_by_workflow: ["namespace_id", "workflow"],
  executions_not_completed: ["namespace_id", "status"],
  executions_by_label: ["labels"],
  executions_due: ["due_at"],
  executions_cancelling: ["execution_id"],
  tasks_pkey: ["namespace_id", "execution_id"],
  tasks_ready: ["namespace_id", "queue", "handler"],
  tasks_suspect: ["namespace_id", "queue", "handler"],
  tasks_held: ["session_id"],
  tasks_due: ["due_at"],
  shared_inputs_pkey: ["namespace_id", "execution_id", "input_id"],
  attempts_pkey: ["namespace_id", "execution_id"],
  sessions_pkey: ["namespace_id", "session_id"],
  sessions_open: ["replica_id"],
  replicas_pkey: ["replica_id"],
  workflows_pkey: ["namespace_id", "name"],
  workflow_versions_pkey: ["namespace_id", "name"],
  workflow_versions_by_age: ["namespace_id", "name"],
};

/** Where batches come from. */
const BATCH_NODES = new Set(["Function Scan", "CTE Scan"]);

/**
 * What is wrong with a plan: rows of a table found in another way than allowed, or a loop that goes
 * through the batch once for each row of a table.
 */
export function planFaults(plan: PlanNode, allowed: AllowedAccess): string[] {
  const faults: string[] = [];
  visit(plan, undefined, (node, parent) => {
    const fault = accessFault(node, parent, allowed);
    if (fault !== undefined) faults.push(fault);
    if (isBatchInside(node)) faults.push("a nested loop has the batch on its inside");
  });
  return [...new Set(faults)];
}

function visit(
  node: PlanNode,
  parent: PlanNode | undefined,
  see: (node: PlanNode, parent: PlanNode | undefined) => void,
): void {
  see(node, parent);
  for (const child of node.Plans ?? []) visit(child, node, see);
}

function accessFault(
  node: PlanNode,
  parent: PlanNode | undefined,
  allowed: AllowedAccess,
): string | undefined {
  const kind = node["Node Type"];
  if (kind === "Bitmap Index Scan") return undefined;
  const table = node["Relation Name"];
  if (table === undefined || kind === "ModifyTable") return undefined;
  const ways = allowed[table] ?? [];
  if (kind === "Tid Scan") return ways.includes("tid") ? undefined : `${table} is read by ctid`;
  const indexes = indexesOf(node);
  if (indexes.length === 0) return `${table} is read by a ${kind}`;
  const wrong = indexes.filter(({ name }) => !ways.includes(name));
  if (wrong.length > 0) return `${table} is read by ${wrong.map(({ name }) => name).join(", ")}`;
  // The first rows of an index, in its order, need no condition.
  if (parent?.["Node Type"] === "Limit" && node.Filter === undefined) return undefined;
  const loose = indexes.find(
    ({ name, condition }) => !isNarrow(name, condition) && !ways.includes(`all of ${name}`),
  );
  return loose === undefined ? undefined : `too much of ${loose.name} is read: ${loose.condition ?? "all"}`;
}

/** A condition on a later column alone still reads the whole index. */
function isNarrow(index: string, condition: string | undefined): boolean {
  const columns = KEYS[index];
  if (columns === undefined) throw new Error(`The key of ${index} is not known`);
  return columns.every((column) => new RegExp(`\\b${column}\\b`).test(condition ?? ""));
}

function indexesOf(node: PlanNode): Array<{ name: string; condition: string | undefined }> {
  const found: Array<{ name: string; condition: string | undefined }> = [];
  const note = (each: PlanNode): void => {
    const name = each["Index Name"];
    if (name !== undefined) found.push({ name, condition: each["Index Cond"] });
  };
  if (node["Node Type"] === "Bitmap Heap Scan") visit(node, undefined, note);
  else note(node);
  return found;
}

/** The outer side reads a table and the inner side the batch. */
function isBatchInside(node: PlanNode): boolean {
  if (node["Node Type"] !== "Nested Loop") return false;
  const inner = node.Plans?.find((child) => child["Parent Relationship"] === "Inner");
  const outer = node.Plans?.find((child) => child["Parent Relationship"] === "Outer");
  return inner !== undefined && outer !== undefined && readsOnlyBatch(inner) && !readsOnlyBatch(outer);
}

function readsOnlyBatch(node: PlanNode): boolean {
  const nodes: PlanNode[] = [];
  visit(node, undefined, (each) => nodes.push(each));
  const readsTable = nodes.some((each) => each["Relation Name"] !== undefined);
  return !readsTable && nodes.some((each) => BATCH_NODES.has(each["Node Type"]));
}
