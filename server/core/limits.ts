/** Every limit on what clients and workers send. Configurable; each refusal names limit and value. */
export interface Limits {
  readonly payloadBytes: number;
  readonly messageBytes: number;
  /** Outputs of one execution that something has yet to read, together. */
  readonly keptOutputBytes: number;
  readonly tasksPerWorkflow: number;
  readonly dependenciesPerTask: number;
  readonly specBytes: number;
  readonly nameChars: number;
  readonly descriptionChars: number;
  readonly labels: number;
  readonly labelKeyChars: number;
  readonly labelValueChars: number;
  readonly expressionChars: number;
  /** Nodes of a parsed expression. */
  readonly expressionNodes: number;
  /** Steps of one evaluation. */
  readonly expressionSteps: number;
  /** Fields of an input mapping. */
  readonly inputFields: number;
  readonly inputSchemaChars: number;
  readonly idempotencyKeyChars: number;
  readonly startsPerRequest: number;
  readonly reportsPerMessage: number;
  readonly creditPerSession: number;
  readonly handlersPerWorker: number;
  readonly queuesPerWorker: number;
  readonly pageSize: number;
  readonly failureMessageChars: number;
  readonly stackTraceChars: number;
  /** Details of a failure; they are left out when they are more. */
  readonly failureDetailsBytes: number;
}

/** The limits of a server that is not told otherwise. */
export const DEFAULT_LIMITS: Limits = {
  payloadBytes: 2 * 1024 * 1024,
  messageBytes: 4 * 1024 * 1024,
  keptOutputBytes: 64 * 1024 * 1024,
  tasksPerWorkflow: 10_000,
  dependenciesPerTask: 10_000,
  specBytes: 4 * 1024 * 1024,
  nameChars: 200,
  descriptionChars: 10_000,
  labels: 32,
  labelKeyChars: 63,
  labelValueChars: 255,
  expressionChars: 4_096,
  expressionNodes: 1_000,
  expressionSteps: 100_000,
  inputFields: 1_000,
  inputSchemaChars: 65_536,
  idempotencyKeyChars: 200,
  startsPerRequest: 1_000,
  reportsPerMessage: 1_000,
  creditPerSession: 10_000,
  handlersPerWorker: 1_000,
  queuesPerWorker: 100,
  pageSize: 1_000,
  failureMessageChars: 4_096,
  stackTraceChars: 16_384,
  failureDetailsBytes: 65_536,
};
