import { DEFAULT_LIMITS, type Limits } from "../../server/core/limits.js";
import type { Log } from "../../server/engine/log.js";
import { HttpServer, type HttpServerOptions } from "../../server/http/http-server.js";
import { startEdge, type Edge, type EdgeOptions } from "../../server/transport/server-edge.js";
import { EventLog } from "./event-log.js";
import { ScriptedEngine } from "./scripted-engine.js";

export interface LogEntry {
  readonly level: keyof Log;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A log that a test reads. */
export class RecordedLog implements Log {
  readonly entries = new EventLog<LogEntry>();
  debug = this.#at("debug");
  info = this.#at("info");
  warn = this.#at("warn");
  error = this.#at("error");

  #at(level: keyof Log): Log["info"] {
    return (fields, message) => this.entries.push({ level, fields, message });
  }
}

type Changes = Partial<Omit<EdgeOptions, "engine" | "limits" | "log" | "createHttp">> & {
  readonly limits?: Partial<Limits>;
  readonly http?: Partial<HttpServerOptions>;
};

export interface TestEdge extends Edge {
  readonly engine: ScriptedEngine;
  readonly log: RecordedLog;
  readonly limits: Limits;
}

/** The real edge, on a free port, over a scripted engine. */
export async function startTestEdge({
  limits: changedLimits,
  http,
  ...changes
}: Changes = {}): Promise<TestEdge> {
  const engine = new ScriptedEngine();
  const log = new RecordedLog();
  const limits = { ...DEFAULT_LIMITS, ...changedLimits };
  const edge = await startEdge({
    listen: { host: "127.0.0.1", port: 0 },
    version: "1.2.3",
    ...changes,
    ...{ engine, log, limits },
    createHttp: (parts) => new HttpServer({ ...parts, ...http }),
  });
  return { ...edge, engine, log, limits };
}
