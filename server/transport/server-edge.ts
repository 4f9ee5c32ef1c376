import type { Socket } from "node:net";
import { HeadraceError } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { Engine } from "../engine/api.js";
import type { Log } from "../engine/log.js";
import { Health } from "../gen/grpc/health/v1/health_pb.js";
import { ExecutionService } from "../gen/headrace/v1/execution_service_pb.js";
import { WorkerService } from "../gen/headrace/v1/worker_service_pb.js";
import { WorkflowService } from "../gen/headrace/v1/workflow_service_pb.js";
import { admitted, type Admission } from "./admission.js";
import type { TlsFiles } from "./certificates.js";
import { DEFAULT_EDGE_SETTINGS, type EdgeSettings } from "./edge-settings.js";
import { executionHandlers } from "./execution-handlers.js";
import type { ExecutionStreamOptions } from "./execution-stream.js";
import { GrpcServer } from "./grpc-server.js";
import { healthHandlers } from "./health.js";
import { checkListen, type ListenAddress } from "./listen-address.js";
import { OpenCalls } from "./open-calls.js";
import { Port } from "./port.js";
import { reflectionServices } from "./reflection.js";
import { bindService, type BoundService } from "./service-impl.js";
import { statusOf, type CallStatus } from "./status.js";
import { workerHandlers } from "./worker-handlers.js";
import type { WorkerStreamOptions } from "./worker-stream.js";
import { workflowHandlers } from "./workflow-handlers.js";

type Shared = "engine" | "limits" | "log" | "version";

/** What to serve, where, and within which limits. */
export interface EdgeOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly listen: ListenAddress;
  readonly tls?: TlsFiles | undefined;
  /** Allows an address that others can reach without TLS. */
  readonly insecure?: boolean;
  readonly log: Log;
  readonly version: string;
  readonly settings?: Partial<EdgeSettings>;
  /** Whether clients may ask for the contract. Default true. */
  readonly reflection?: boolean;
  readonly workerStream?: Omit<WorkerStreamOptions, Shared>;
  readonly executionStream?: Omit<ExecutionStreamOptions, Shared>;
  /** Decides on each call of our services, whatever the protocol. */
  readonly admission?: Admission;
  /** Makes the server of HTTP/1.1 connections. */
  readonly createHttp: (parts: HttpParts) => HttpSide;
}

/** What the HTTP/1.1 side gets. */
export interface HttpParts {
  readonly services: readonly BoundService[];
  readonly limits: Limits;
  readonly log: Log;
  readonly statusOf: (error: unknown) => CallStatus;
  /** Undefined when calls make sense; otherwise why not. */
  readonly notReady: () => "DRAINING" | "DATABASE_UNAVAILABLE" | undefined;
  /** Aborts with the reason when the server drains. */
  readonly drainSignal: AbortSignal;
}

/** What the edge needs of the HTTP/1.1 side. */
export interface HttpSide {
  accept(socket: Socket): void;
  /** Ends idle connections now, and the others when they are answered. */
  drain(): void;
}

/** The running edge. */
export interface Edge {
  /** "host:port", or "unix:/path". */
  readonly address: string;
  readonly port: number;
  /** Refuses new calls, ends those that only wait, and lets workers leave; resolves when they have. */
  drain(graceMs: number): Promise<void>;
  /** Closes everything. Calls in progress have the grace, 1 s by default, to end. */
  close(graceMs?: number): Promise<void>;
}

/** Serves the engine on one port. Rejects when the address is not safe or not free. */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { engine, limits, listen, tls, log } = options;
  checkListen({ host: listen.host, tls: tls !== undefined, insecure: options.insecure ?? false });
  const settings = { ...DEFAULT_EDGE_SETTINGS, ...options.settings };
  const openCalls = new OpenCalls();
  const draining = new AbortController();
  const notReady = (): ReturnType<HttpParts["notReady"]> => {
    if (draining.signal.aborted) return "DRAINING";
    return engine.isReady() ? undefined : "DATABASE_UNAVAILABLE";
  };
  const services = ownServices(options, draining.signal);
  const statusOfError = (error: unknown): CallStatus => statusOf(error, log);
  const http = options.createHttp({
    ...{ services, limits, log, notReady },
    statusOf: statusOfError,
    drainSignal: draining.signal,
  });
  const standard = standardServices(options, services, () => notReady() === undefined);
  const grpc = new GrpcServer({ services: [...services, ...standard], limits, settings, openCalls, log });
  const port = new Port({
    ...{ settings, tls, log },
    http2: (socket) => grpc.accept(socket),
    http1: (socket) => http.accept(socket),
  });
  const bound = await port.listen(listen);
  return {
    ...bound,
    async drain(graceMs) {
      const reason = new HeadraceError("DRAINING", "The server shuts down.", { retryAfterMs: 1_000 });
      draining.abort(reason);
      openCalls.abort(reason);
      await engine.workers.drain(graceMs);
    },
    async close(graceMs = 1_000) {
      grpc.drain();
      http.drain();
      await port.close(graceMs);
    },
  };
}

/** Our services, each call behind the same door. */
function ownServices(options: EdgeOptions, draining: AbortSignal): BoundService[] {
  const { engine, limits, log, version } = options;
  const services = [
    bindService(WorkflowService, workflowHandlers(engine.workflows, limits)),
    bindService(ExecutionService, executionHandlers({ engine, limits, log, ...options.executionStream })),
    bindService(WorkerService, workerHandlers({ engine, limits, log, version, ...options.workerStream })),
  ];
  const admission: Admission = (method, context) => {
    draining.throwIfAborted();
    return options.admission?.(method, context);
  };
  return services.map((service) => admitted(service, admission));
}

/** The services that every gRPC server has. They answer while the server drains. */
function standardServices(
  options: EdgeOptions,
  own: readonly BoundService[],
  isServing: () => boolean,
): BoundService[] {
  const serviceNames = new Set(own.map(({ desc }) => desc.typeName));
  const health = bindService(Health, healthHandlers({ serviceNames, isServing }));
  const described = [...own.map(({ desc }) => desc), Health];
  return options.reflection === false ? [health] : [health, ...reflectionServices(described)];
}
