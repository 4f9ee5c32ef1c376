/** The limits of connections and of what HTTP/2 lets a peer do. */
export interface EdgeSettings {
  /** Calls at a time on one connection. */
  readonly concurrentStreamsMax: number;
  /** Memory of one HTTP/2 session for what it has to send, beyond the messages themselves. */
  readonly sessionMemoryMb: number;
  readonly metadataBytesMax: number;
  /** Age at which a connection is asked to go, within a tenth; so load spreads over new replicas. */
  readonly connectionAgeMs: number;
  /** How long the calls of an aged connection may go on. */
  readonly connectionAgeGraceMs: number;
  /** A connection without calls is closed after so long. */
  readonly connectionIdleMs: number;
  /** How often a connection is pinged, and how soon it must answer. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly connectionsMax: number;
  /** A connection must begin to speak within this time. */
  readonly firstBytesTimeoutMs: number;
  /** How often certificate files are looked at. */
  readonly certificatePollMs: number;
}

/** What a server that is not told otherwise allows. */
export const DEFAULT_EDGE_SETTINGS: EdgeSettings = {
  concurrentStreamsMax: 200,
  sessionMemoryMb: 64,
  metadataBytesMax: 16_384,
  connectionAgeMs: 1_800_000,
  connectionAgeGraceMs: 30_000,
  connectionIdleMs: 300_000,
  keepaliveMs: 15_000,
  keepaliveTimeoutMs: 5_000,
  connectionsMax: 10_000,
  firstBytesTimeoutMs: 10_000,
  certificatePollMs: 10_000,
};
