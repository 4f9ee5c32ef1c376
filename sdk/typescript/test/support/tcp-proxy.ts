import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";

/** Forwards TCP to a port, until its connections are cut. */
export interface TcpProxy {
  readonly address: string;
  /** Destroys every connection, as a network does that fails. */
  cut(): void;
  /** While refused, new connections are closed at once. */
  refuse(refused: boolean): void;
  close(): Promise<void>;
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let refused = false;
  const server = createServer((client) => {
    if (refused) {
      client.destroy();
      return;
    }
    const upstream = connect(targetPort, "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    refuse: (value) => (refused = value),
    close: async () => {
      sockets.forEach((socket) => socket.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
