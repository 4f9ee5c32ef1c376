import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { get as getHttps } from "node:https";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { once } from "node:events";
import test, { type ExecutionContext } from "ava";
import { credentials, status as GrpcCode } from "@grpc/grpc-js";
import { HeadraceError } from "../../server/core/errors.js";
import { WorkerService } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { WorkflowService } from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { checkListen } from "../../server/transport/listen-address.js";
import { EventLog } from "../support/event-log.js";
import { GrpcClient } from "../support/grpc-client.js";
import { selfSignedCertificate } from "../support/self-signed-certificate.js";
import { startTestEdge, type TestEdge } from "../support/test-edge.js";

async function withEdge(
  t: ExecutionContext,
  options?: Parameters<typeof startTestEdge>[0],
): Promise<TestEdge> {
  const edge = await startTestEdge(options);
  edge.engine.workflows.list = async () => ({ items: [], nextPageToken: "page" });
  t.teardown(() => edge.close(0));
  return edge;
}

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "headrace-port-"));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

function rawSocket(t: ExecutionContext, edge: TestEdge): Socket {
  const socket = connect(edge.port, "127.0.0.1");
  socket.on("error", () => undefined);
  t.teardown(() => socket.destroy());
  return socket;
}

/** Waits until the peer, or an error, has closed a socket. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.on("error", () => undefined);
    socket.resume();
  });
}

const hello = {
  message: { case: "hello" as const, value: { workerName: "w", handlers: ["h"], queues: ["q"] } },
};

test("gRPC and HTTP/1.1 share a port, however slowly the first bytes come", async (t) => {
  const edge = await withEdge(t);
  const client = new GrpcClient(WorkflowService, edge.address);
  t.teardown(() => client.close());
  t.is((await client.unary("listWorkflows", {})).nextPageToken, "page");
  t.is((await fetch(`http://${edge.address}/healthz`)).status, 200);
  // "PUT" and "POST" share their first byte with the preface of HTTP/2.
  for (const request of ["PUT /x HTTP/1.1\r\nhost: a\r\n\r\n", "POST /x HTTP/1.1\r\nhost: a\r\n\r\n"]) {
    const socket = rawSocket(t, edge);
    for (const byte of request.slice(0, 4)) {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.write(request.slice(4));
    const [answer] = (await once(socket, "data")) as [Buffer];
    t.regex(answer.toString(), /^HTTP\/1\.1 404 /);
  }
  const socket = rawSocket(t, edge);
  for (const part of ["P", "RI", " * HTTP/2.0\r\n\r\nSM\r\n\r\n"]) {
    socket.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
  const [settings] = (await once(socket, "data")) as [Buffer];
  t.is(settings[3], 4, "the server answers with a SETTINGS frame");
});

test("a connection that says nothing is closed", async (t) => {
  const edge = await withEdge(t, { settings: { firstBytesTimeoutMs: 50 }, http: { headersTimeoutMs: 50 } });
  const silent = rawSocket(t, edge);
  const halfPreface = rawSocket(t, edge);
  halfPreface.write("PR");
  const halfRequest = rawSocket(t, edge);
  halfRequest.write("GET /healthz HT");
  await Promise.all([silent, halfPreface, halfRequest].map((socket) => closed(socket)));
  t.pass();
});

test("an HTTP/2 connection without calls is closed", async (t) => {
  const edge = await withEdge(t, { settings: { connectionIdleMs: 50 } });
  const session = connectHttp2(`http://${edge.address}`);
  t.teardown(() => session.destroy());
  await once(session, "close");
  t.pass();
});

test("a connection that does not answer pings is closed, and its worker is gone", async (t) => {
  const edge = await withEdge(t, { settings: { keepaliveMs: 50, keepaliveTimeoutMs: 50 } });
  // A proxy that stops to forward looks like a line that went dead.
  const passed: Socket[] = [];
  const proxy = createServer((inner) => {
    const outer = connect(edge.port, "127.0.0.1");
    for (const socket of [inner, outer]) socket.on("error", () => undefined);
    inner.pipe(outer).pipe(inner);
    passed.push(inner, outer);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const { port } = proxy.address() as { port: number };
  t.teardown(() => {
    proxy.close();
    for (const socket of passed) socket.destroy();
  });
  const client = new GrpcClient(WorkerService, `127.0.0.1:${port}`);
  t.teardown(() => client.close());
  const stream = client.duplex("connect");
  stream.send(hello);
  await stream.received.find(() => true);
  const session = await edge.engine.sessions.find(() => true);
  for (const socket of passed) {
    socket.unpipe();
    socket.pause();
  }
  await session.events.find(({ kind }) => kind === "disconnected");
  t.pass();
});

test("calls beyond the announced number wait in an honest client, and end the connection of another", async (t) => {
  const edge = await withEdge(t, { settings: { concurrentStreamsMax: 3 } });
  const client = new GrpcClient(WorkerService, edge.address);
  t.teardown(() => client.close());
  const streams = Array.from({ length: 5 }, () => client.duplex("connect"));
  for (const stream of streams) stream.send(hello);
  await edge.engine.sessions.find(() => edge.engine.sessions.all.length === 3);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.is(edge.engine.sessions.all.length, 3);
  streams[0]!.call.cancel();
  await edge.engine.sessions.find(() => edge.engine.sessions.all.length === 4);

  const socket = rawSocket(t, edge);
  const frames = readFrames(socket);
  const ack = Buffer.from([0, 0, 0, SETTINGS_FRAME, 1, 0, 0, 0, 0]);
  socket.write(Buffer.concat([PREFACE, Buffer.from([0, 0, 0, SETTINGS_FRAME, 0, 0, 0, 0, 0]), ack]));
  await frames.find(({ type }) => type === SETTINGS_FRAME);
  for (let id = 1; id <= 9; id += 2) socket.write(headersFrame(id));
  await frames.find(({ type }) => type === GOAWAY_FRAME);
  await closed(socket);
});

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const HEADERS_FRAME = 1;
const SETTINGS_FRAME = 4;
const GOAWAY_FRAME = 7;

interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly payload: Buffer;
}

function readFrames(socket: Socket): EventLog<Frame> {
  const frames = new EventLog<Frame>();
  let rest = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      frames.push({ type: rest[3]!, stream: rest.readUInt32BE(5), payload: rest.subarray(9, end) });
      rest = rest.subarray(end);
    }
  });
  return frames;
}

/** Opens a call: header fields as HPACK literals, without compression. */
function headersFrame(stream: number): Buffer {
  const fields = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/headrace.v1.WorkerService/Connect",
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
  };
  const literal = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
  const block = Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]),
  );
  const head = Buffer.from([0, 0, block.length, HEADERS_FRAME, 4, 0, 0, 0, stream]);
  return Buffer.concat([head, block]);
}

test("more connections than allowed are refused", async (t) => {
  const edge = await withEdge(t, { settings: { connectionsMax: 2 } });
  const kept = [rawSocket(t, edge), rawSocket(t, edge)];
  await Promise.all(kept.map((socket) => once(socket, "connect")));
  const refused = rawSocket(t, edge);
  await closed(refused);
  const entry = await edge.log.entries.find(({ level }) => level === "warn");
  t.regex(entry.message, /too many connections/);
  t.false(kept.some((socket) => socket.destroyed));
});

test("an aged connection ends its streams, and the client comes back", async (t) => {
  const edge = await withEdge(t, { settings: { connectionAgeMs: 100, connectionAgeGraceMs: 50 } });
  const client = new GrpcClient(WorkerService, edge.address);
  t.teardown(() => client.close());
  const first = client.duplex("connect");
  first.send(hello);
  await first.received.find(() => true);
  t.is((await first.ended).code, GrpcCode.UNAVAILABLE);
  const session = await edge.engine.sessions.find(() => true);
  await session.events.find(({ kind }) => kind === "disconnected");
  const second = client.duplex("connect");
  second.send(hello);
  await second.received.find(() => true);
  t.is(edge.engine.sessions.all.length, 2);
});

test("with TLS, gRPC and HTTP/1.1 are told apart by ALPN, and old versions are refused", async (t) => {
  const path = await folder(t);
  const { cert, key } = selfSignedCertificate("first");
  const tls = { certFile: join(path, "tls.crt"), keyFile: join(path, "tls.key") };
  await Promise.all([writeFile(tls.certFile, cert), writeFile(tls.keyFile, key)]);
  const edge = await withEdge(t, {
    tls,
    listen: { host: "0.0.0.0", port: 0 },
    settings: { certificatePollMs: 20 },
  });
  const address = `localhost:${edge.port}`;
  const client = new GrpcClient(WorkflowService, address, {}, credentials.createSsl(Buffer.from(cert)));
  t.teardown(() => client.close());
  t.is((await client.unary("listWorkflows", {})).nextPageToken, "page");
  const status = await new Promise<number | undefined>((resolve, reject) => {
    getHttps(`https://${address}/healthz`, { ca: cert, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on("error", reject);
  });
  t.is(status, 200);
  const tlsSocket = (options: object): TLSSocket => {
    const socket = connectTls({ host: "127.0.0.1", port: edge.port, rejectUnauthorized: false, ...options });
    socket.on("error", () => undefined);
    t.teardown(() => socket.destroy());
    return socket;
  };
  const plain = tlsSocket({});
  plain.write("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
  t.regex(String((await once(plain, "data"))[0]), /^HTTP\/1\.1 200 /, "no ALPN at all");
  const old = tlsSocket({ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
  await closed(old);
  t.false(old.authorized || old.getProtocol() === "TLSv1.1");

  // New files are taken without a restart; bad ones are not.
  await Promise.all([writeFile(tls.certFile, ""), writeFile(tls.keyFile, "")]);
  await edge.log.entries.find(({ level }) => level === "error");
  const still = tlsSocket({ ALPNProtocols: ["h2"] });
  await once(still, "secureConnect");
  t.is(still.getPeerCertificate().subject.CN, "first");
  const next = selfSignedCertificate("second");
  await Promise.all([writeFile(tls.certFile, next.cert), writeFile(tls.keyFile, next.key)]);
  await edge.log.entries.find(({ message }) => message === "certificate loaded again");
  const fresh = tlsSocket({ ALPNProtocols: ["h2"] });
  await once(fresh, "secureConnect");
  t.is(fresh.getPeerCertificate().subject.CN, "second");
});

test("with TLS, a handshake that does not come is not waited for, and clients may need a certificate", async (t) => {
  const path = await folder(t);
  const [server, client] = [selfSignedCertificate("server"), selfSignedCertificate("client")];
  const tls = { certFile: join(path, "crt"), keyFile: join(path, "key"), clientCaFile: join(path, "ca") };
  await Promise.all([
    writeFile(tls.certFile, server.cert),
    writeFile(tls.keyFile, server.key),
    writeFile(tls.clientCaFile, client.cert),
  ]);
  const edge = await withEdge(t, { tls, settings: { firstBytesTimeoutMs: 100 } });
  await closed(rawSocket(t, edge));
  const call = (key?: string, cert?: string) => {
    const creds = credentials.createSsl(
      Buffer.from(server.cert),
      key === undefined ? null : Buffer.from(key),
      cert === undefined ? null : Buffer.from(cert),
    );
    const grpc = new GrpcClient(WorkflowService, `localhost:${edge.port}`, {}, creds);
    t.teardown(() => grpc.close());
    return grpc.unary("listWorkflows", {}, { deadline: Date.now() + 5_000 });
  };
  t.is((await call(client.key, client.cert)).nextPageToken, "page");
  await t.throwsAsync(call(), { message: /UNAVAILABLE/ });
});

test("certificates that do not load stop the start", async (t) => {
  const path = await folder(t);
  const [one, two] = [selfSignedCertificate("one"), selfSignedCertificate("two")];
  const tls = { certFile: join(path, "crt"), keyFile: join(path, "key") };
  await t.throwsAsync(startTestEdge({ tls }), { code: "ENOENT" });
  await Promise.all([writeFile(tls.certFile, one.cert), writeFile(tls.keyFile, two.key)]);
  await t.throwsAsync(startTestEdge({ tls }), { message: /does not belong to the certificate/ });
});

test("a socket file is an address, also when one was left behind", async (t) => {
  const path = join(await folder(t), "edge.sock");
  const listen = { host: `unix:${path}`, port: 0 };
  const first = await startTestEdge({ listen });
  t.is(first.address, `unix:${path}`);
  await t.throwsAsync(startTestEdge({ listen }), { code: "EADDRINUSE" });
  await first.close(0);
  const left = createServer();
  left.listen(path);
  await once(left, "listening");
  // A killed process leaves its file; closing the handle without unlinking is the same.
  await rename(path, `${path}.left`);
  left.close();
  await rename(`${path}.left`, path);
  const edge = await withEdge(t, { listen });
  const client = new GrpcClient(WorkflowService, edge.address);
  t.teardown(() => client.close());
  t.is((await client.unary("listWorkflows", {})).nextPageToken, "page");
});

test("an address that others reach needs TLS or permission", async (t) => {
  for (const host of ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]", "unix:/tmp/x"]) {
    t.notThrows(() => checkListen({ host, tls: false, insecure: false }), host);
  }
  for (const host of [
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "example.org",
    "localhost.example.org",
    "127.0.0.1.nip.io",
  ]) {
    const error = t.throws<HeadraceError>(
      () => checkListen({ host, tls: false, insecure: false }),
      undefined,
      host,
    );
    t.is(error.facts.field, "host");
    t.notThrows(() => checkListen({ host, tls: true, insecure: false }));
    t.notThrows(() => checkListen({ host, tls: false, insecure: true }));
  }
  await t.throwsAsync(startTestEdge({ listen: { host: "0.0.0.0", port: 0 } }), { instanceOf: HeadraceError });
});

test("a taken address is told, and a closed edge leaves nothing open", async (t) => {
  const edge = await startTestEdge();
  await t.throwsAsync(startTestEdge({ listen: { host: "127.0.0.1", port: edge.port } }), {
    code: "EADDRINUSE",
  });
  const client = new GrpcClient(WorkerService, edge.address);
  t.teardown(() => client.close());
  const stream = client.duplex("connect");
  stream.send(hello);
  await stream.received.find(() => true);
  const silent = connect(edge.port, "127.0.0.1");
  await once(silent, "connect");
  const silenceEnds = closed(silent);
  await edge.close(50);
  t.is((await stream.ended).code, GrpcCode.UNAVAILABLE);
  await silenceEnds;
  const refused = connect(edge.port, "127.0.0.1");
  await t.throwsAsync(once(refused, "connect"), { code: "ECONNREFUSED" });
});
