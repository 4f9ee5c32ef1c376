import { setTimeout as sleep } from "node:timers/promises";
import {
  HealthCheckResponse_ServingStatus as Serving,
  type Health,
} from "../gen/grpc/health/v1/health_pb.js";
import type { Context, Impl } from "./service-impl.js";
import { ForeignError } from "./status.js";

/** What the health service tells of. */
export interface HealthOptions {
  /** Full names of the services that can be asked for, beside "" for the whole server. */
  readonly serviceNames: ReadonlySet<string>;
  /** Whether calls make sense now. */
  readonly isServing: () => boolean;
  /** How soon a watcher learns of a change. Default 1 s. */
  readonly watchIntervalMs?: number;
}

/** The standard health service. All services share one state: that of the server. */
export function healthHandlers(options: HealthOptions): Impl<typeof Health> {
  const isKnown = (service: string): boolean => service === "" || options.serviceNames.has(service);
  const status = (): Serving => (options.isServing() ? Serving.SERVING : Serving.NOT_SERVING);
  return {
    check({ service }) {
      if (isKnown(service)) return Promise.resolve({ status: status() });
      return Promise.reject(
        new ForeignError("NOT_FOUND", `This server has no service ${JSON.stringify(service)}.`),
      );
    },

    async *watch({ service }, { signal }) {
      let told: Serving | undefined;
      while (!signal.aborted) {
        const now = isKnown(service) ? status() : Serving.SERVICE_UNKNOWN;
        if (now !== told) yield { status: now };
        told = now;
        await pause(options.watchIntervalMs ?? 1_000, signal);
      }
    },
  };
}

async function pause(ms: number, signal: Context["signal"]): Promise<void> {
  try {
    await sleep(ms, undefined, { signal, ref: false });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
