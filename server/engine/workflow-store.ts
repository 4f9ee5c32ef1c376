/** A workflow version to be stored. Versions are UUID text here, as in the database. */
export interface NewWorkflowVersion {
  readonly namespaceId: number;
  readonly name: string;
  readonly version: string;
  /** As encodeSpec made it. */
  readonly spec: Uint8Array;
  readonly taskCount: number;
  readonly description: string;
}

/** A stored version without its content. */
export interface WorkflowVersionSummary {
  readonly name: string;
  readonly version: string;
  readonly taskCount: number;
  readonly description: string;
  readonly createdAtMs: number;
  readonly latest: boolean;
}

/** A stored version. */
export interface WorkflowVersion extends WorkflowVersionSummary {
  readonly spec: Uint8Array;
}

/** A part of a list. */
export interface WorkflowPage {
  readonly items: readonly WorkflowVersionSummary[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/**
 * Where namespaces and the definitions of workflows are kept. Versions never change once stored.
 * Methods reject with a HeadraceError: DATABASE_UNAVAILABLE and the like, or INVALID_FIELD for a page
 * token that this list has not given out.
 */
export interface WorkflowStore {
  /** Undefined when there is no such namespace. */
  findNamespace(name: string): Promise<number | undefined>;
  /** Finds it or creates it. */
  ensureNamespace(name: string): Promise<number>;
  /** Makes the version the latest; `created` is false when it was stored before. */
  putVersion(version: NewWorkflowVersion): Promise<{ readonly created: boolean }>;
  findLatestVersion(namespaceId: number, name: string): Promise<string | undefined>;
  readLatest(namespaceId: number, name: string): Promise<WorkflowVersion | undefined>;
  /** Versions from `lowest` to `highest`, both included; two at most. */
  readVersions(
    namespaceId: number,
    name: string,
    range: { readonly lowest: string; readonly highest: string },
  ): Promise<readonly WorkflowVersion[]>;
  /** The latest version of each workflow, by name. */
  listLatest(
    namespaceId: number,
    query: { readonly namePrefix: string; readonly pageSize: number; readonly pageToken: string },
  ): Promise<WorkflowPage>;
  /** The versions of one workflow, newest first. */
  listVersions(
    namespaceId: number,
    query: { readonly name: string; readonly pageSize: number; readonly pageToken: string },
  ): Promise<WorkflowPage>;
}
