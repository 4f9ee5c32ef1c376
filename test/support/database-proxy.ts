import { once } from "node:events";
import net from "node:net";
import type { ExecutionContext } from "ava";
import type { DatabaseConfig } from "../../server/store/connection.js";

/** What a test does with bytes on their way; answers what goes on, or undefined to cut the line. */
export interface ProxyRules {
  readonly toServer?: (chunk: Buffer) => Buffer | undefined;
  readonly toClient?: (chunk: Buffer) => Buffer | undefined;
}

/** The same database behind a line that a test can cut or add to. */
export async function useProxy(
  t: ExecutionContext,
  config: DatabaseConfig,
  rules: ProxyRules,
): Promise<DatabaseConfig> {
  const directory = new URL(config.url).searchParams.get("host")!;
  const open = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(`${directory}/.s.PGSQL.5432`);
    const cut = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on("error", cut).on("close", cut);
    }
    forward(near, far, rules.toServer, cut);
    forward(far, near, rules.toClient, cut);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  const { port } = server.address() as net.AddressInfo;
  return { ...config, url: `postgres://postgres@127.0.0.1:${port}${new URL(config.url).pathname}` };
}

function forward(
  from: net.Socket,
  to: net.Socket,
  rule: ProxyRules["toServer"] = (chunk) => chunk,
  cut: () => void,
): void {
  from.on("data", (chunk: Buffer) => {
    const passed = rule(chunk);
    if (passed === undefined) cut();
    else to.write(passed);
  });
}
