import { HeadraceError } from "../core/errors.js";

/** Where to listen: a host and a port, or a socket file as "unix:/path", for which the port means nothing. */
export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

/** What protects an address. */
export interface ListenSecurity {
  readonly host: string;
  readonly tls: boolean;
  /** The operator says that the network is trusted. */
  readonly insecure: boolean;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i;

/** Throws INVALID_FIELD when others could reach the address and nothing protects what they send. */
export function checkListen({ host, tls, insecure }: ListenSecurity): void {
  if (tls || insecure || socketPath(host) !== undefined || LOOPBACK.test(host)) return;
  throw new HeadraceError(
    "INVALID_FIELD",
    `${host} can be reached from outside, and there is no TLS. Give a certificate and its key, listen on 127.0.0.1, or allow it with "insecure" if the network is trusted.`,
    { field: "host", actual: host },
  );
}

/** The path of a "unix:" address; undefined for any other. */
export function socketPath(host: string): string | undefined {
  return host.startsWith("unix:") ? host.slice("unix:".length) : undefined;
}
