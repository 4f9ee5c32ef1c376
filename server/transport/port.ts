import { unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Log } from "../engine/log.js";
import { Certificates, type TlsFiles } from "./certificates.js";
import type { EdgeSettings } from "./edge-settings.js";
import { socketPath, type ListenAddress } from "./listen-address.js";

/** Every HTTP/2 connection begins with "PRI * HTTP/2.0"; no HTTP/1.1 method begins with "PRI". */
const HTTP2_PREFACE = Buffer.from("PRI");

/** How to listen, and who takes the connections. */
export interface PortOptions {
  readonly settings: EdgeSettings;
  readonly tls?: TlsFiles | undefined;
  readonly log: Log;
  readonly http2: (socket: Socket) => void;
  readonly http1: (socket: Socket) => void;
}

/** One port for HTTP/2 and HTTP/1.1, plain or with TLS. It looks at how a connection begins. */
export class Port {
  readonly #options: PortOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #certificates: Certificates | undefined;

  constructor(options: PortOptions) {
    this.#options = options;
  }

  /** Begins to listen, and returns where. Rejects when the address is taken or certificates do not load. */
  async listen(address: ListenAddress): Promise<{ address: string; port: number }> {
    const { tls, settings } = this.#options;
    const server = tls === undefined ? this.#plainServer() : await this.#tlsServer(tls);
    server.maxConnections = settings.connectionsMax;
    server.on("connection", (socket: Socket) => this.#track(socket));
    server.on("drop", (data) => this.#options.log.warn({ data }, "too many connections; one was refused"));
    this.#server = server;
    const path = socketPath(address.host);
    if (path !== undefined) {
      await removeStaleSocket(path);
      await listening(server, { path });
      return { address: address.host, port: 0 };
    }
    const host = address.host.replace(/^\[(.*)\]$/, "$1");
    await listening(server, { host, port: address.port });
    const bound = server.address();
    const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
    return { address: `${host.includes(":") ? `[${host}]` : host}:${port}`, port };
  }

  /** Accepts no more connections, and ends those that are still open after the grace. */
  async close(graceMs: number): Promise<void> {
    this.#certificates?.stop();
    this.#server?.close();
    const closed = Array.from(
      this.#sockets,
      (socket) => new Promise((resolve) => socket.once("close", resolve)),
    );
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #plainServer(): Server {
    return createServer({ noDelay: true }, (socket) => this.#sniff(socket));
  }

  async #tlsServer(tls: TlsFiles): Promise<Server> {
    const { settings, log } = this.#options;
    this.#certificates = new Certificates(tls, log);
    const server = createTlsServer({
      ...(await this.#certificates.load()),
      ALPNProtocols: ["h2", "http/1.1"],
      minVersion: "TLSv1.2",
      handshakeTimeout: settings.firstBytesTimeoutMs,
      requestCert: tls.clientCaFile !== undefined,
      rejectUnauthorized: tls.clientCaFile !== undefined,
      noDelay: true,
    });
    server.on("secureConnection", (socket: TLSSocket) => this.#sniff(socket));
    server.on("tlsClientError", (error, socket) => {
      log.debug({ err: error }, "TLS handshake failed");
      socket.destroy(); // A handshake that took too long is told here and left open.
    });
    this.#certificates.follow(server, settings.certificatePollMs);
    return server;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", (error) => this.#options.log.debug({ err: error }, "connection failed"));
  }

  /** Reads until it is clear which protocol the peer speaks, gives the bytes back and hands over. */
  #sniff(socket: Socket): void {
    let received: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), this.#options.settings.firstBytesTimeoutMs);
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      received = Buffer.concat([received, chunk]);
      const begin = received.subarray(0, HTTP2_PREFACE.length);
      const isLikeHttp2 = HTTP2_PREFACE.subarray(0, begin.length).equals(begin);
      if (isLikeHttp2 && begin.length < HTTP2_PREFACE.length) return;
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.unshift(received);
      if (isLikeHttp2) this.#options.http2(socket);
      else this.#options.http1(socket);
    };
    socket.on("readable", onReadable);
    socket.on("error", () => undefined); // A TLS socket has its own errors; #track logs those below it.
    socket.once("close", () => clearTimeout(timer));
    // A connection that this side has ended would stay open as long as a dead peer does not answer.
    socket.once("finish", () =>
      setTimeout(() => socket.destroy(), this.#options.settings.keepaliveTimeoutMs).unref(),
    );
  }
}

function listening(server: Server, where: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** A socket file that nobody listens on is left from a process that was killed. */
async function removeStaleSocket(path: string): Promise<void> {
  const code = await new Promise<string | undefined>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.on("error", (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  if (code === "ECONNREFUSED") await unlink(path);
}
