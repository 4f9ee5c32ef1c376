import type { AddressInfo, Socket } from "node:net";
import { connect, createServer, type Server } from "node:net";
import type { ExecutionContext } from "ava";

/** "up" is towards the server. */
export type Direction = "up" | "down";

/** A line between a client and a server that a test can break in the ways in which networks do. */
export class TcpProxy {
  readonly address: string;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #stalled = new Set<Direction>();
  #target: number;
  #delayMs = 0;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (client) => this.#accept(client));
  }

  /** Starts to forward to a port of this machine. Closed at the end of the test. */
  static async start(t: ExecutionContext, target: number): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new TcpProxy(server, target);
    t.teardown(() => proxy.#close());
    return proxy;
  }

  /** New connections go to another port. */
  retarget(port: number): void {
    this.#target = port;
  }

  /** Ends every connection at once, as when a process dies. */
  cut(): void {
    for (const pair of this.#pairs) pair.destroy();
  }

  /** Carries nothing more in the directions, without ending anything: what is sent is late, not lost. */
  stall(...directions: Direction[]): void {
    for (const direction of directions) {
      this.#stalled.add(direction);
      for (const pair of this.#pairs) pair.source(direction).pause();
    }
  }

  /** Carries what waited, and goes on. */
  flow(): void {
    for (const direction of this.#stalled) for (const pair of this.#pairs) pair.source(direction).resume();
    this.#stalled.clear();
  }

  /** Holds up everything that comes from now on for so long, in each direction. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  #accept(client: Socket): void {
    const server = connect(this.#target, "127.0.0.1");
    const pair = new Pair(client, server);
    this.#pairs.add(pair);
    server.once("close", () => this.#pairs.delete(pair));
    for (const direction of ["up", "down"] as const) {
      const source = pair.source(direction);
      source.on("data", (bytes) => this.#carry(bytes, pair.source(direction === "up" ? "down" : "up")));
      if (this.#stalled.has(direction)) source.pause();
      else source.resume();
    }
  }

  #carry(bytes: Buffer, to: Socket): void {
    const write = (): void => {
      if (to.writable) to.write(bytes);
    };
    if (this.#delayMs === 0) write();
    else setTimeout(write, this.#delayMs);
  }

  async #close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Both ends of one connection; when one is gone, the other goes too. */
class Pair {
  readonly #client: Socket;
  readonly #server: Socket;

  constructor(client: Socket, server: Socket) {
    this.#client = client;
    this.#server = server;
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.destroy());
      socket.on("close", () => this.destroy());
    }
  }

  source(direction: Direction): Socket {
    return direction === "up" ? this.#client : this.#server;
  }

  destroy(): void {
    this.#client.destroy();
    this.#server.destroy();
  }
}
