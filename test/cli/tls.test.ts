import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";
import { loadConfig } from "../../server/config.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import { startDouble, unary } from "../support/grpc-double.js";
import { runCli, type CliResult } from "../support/run-cli.js";
import { selfSignedCertificate } from "../support/self-signed-certificate.js";

const folder = mkdtempSync(join(tmpdir(), "headrace-cli-tls-"));
test.after.always(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const server = selfSignedCertificate("server");
const client = selfSignedCertificate("client");
const serverCert = file("server.pem", server.cert);
const clientCert = file("client.pem", client.cert);
const clientKey = file("client.key", client.key);
const keyPair = [{ private_key: Buffer.from(server.key), cert_chain: Buffer.from(server.cert) }];
const listing = unary(ExecutionService.method.listExecutions, () => ({}));

/** Lists executions of a server with these credentials. */
async function list(
  t: ExecutionContext,
  credentials: ServerCredentials,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<CliResult> {
  const double = await startDouble([listing], 0, credentials);
  t.teardown(() => double.stop());
  return runCli(["list", "--address", double.address, ...args], { env });
}

const overTls = ServerCredentials.createSsl(null, keyPair);
const mutual = ServerCredentials.createSsl(Buffer.from(client.cert), keyPair, true);

test("HEADRACE_TLS and HEADRACE_TLS_CA turn TLS on as in the SDKs", async (t) => {
  const none = /no such execution/;
  t.regex((await list(t, overTls, [], { HEADRACE_TLS_CA: serverCert })).stdout, none);
  t.regex((await list(t, overTls, ["--tls-ca", serverCert], { HEADRACE_TLS: "0" })).stdout, none);
  t.regex((await list(t, overTls, [], { HEADRACE_TLS: "1", NODE_EXTRA_CA_CERTS: serverCert })).stdout, none);
  const unknown = await list(t, overTls, [], { HEADRACE_TLS: "1" });
  t.is(unknown.code, 4);
  t.regex(
    unknown.stderr,
    /: its certificate is not signed by an authority that is trusted here\n→ name the authorities .* --tls-ca/,
  );
  for (const value of ["0", "false", ""]) {
    t.regex((await list(t, ServerCredentials.createInsecure(), [], { HEADRACE_TLS: value })).stdout, none);
  }
  const wrong = await runCli(["list"], { env: { HEADRACE_TLS: "yes" } });
  t.is(wrong.code, 2);
  t.regex(wrong.stderr, /^error: HEADRACE_TLS is "yes", expected 1 or 0\n→ set it to 1 for TLS/);
});

test("a token goes to other machines when HEADRACE_TLS is on", async (t) => {
  const env = { HEADRACE_TOKEN: "x" };
  t.regex((await runCli(["list", "--address", "nowhere.invalid:1"], { env })).stderr, /HEADRACE_TLS=1/);
  const overTls = { ...env, HEADRACE_TLS: "1" };
  t.is((await runCli(["list", "--address", "nowhere.invalid:1"], { env: overTls })).code, 4);
});

test("a client's certificate comes by --tls-cert and --tls-key, before and after the command", async (t) => {
  const ca = ["--tls-ca", serverCert];
  const own = ["--tls-cert", clientCert, "--tls-key", clientKey];
  t.is((await list(t, mutual, [...ca, ...own])).code, 0);
  t.is((await list(t, mutual, ca)).code, 4);
  const validating = await runCli(["workflows", "list", "--address", "127.0.0.1:1", ...own]);
  t.is(validating.code, 4, "nested commands take them too");
  const half = await runCli(["list", "--tls-cert", clientCert]);
  t.is(half.code, 2);
  t.regex(half.stderr, /^error: --tls-cert is given alone\n→ give both/);
  const foreign = await runCli(["list", "--tls-cert", serverCert, "--tls-key", clientKey]);
  t.is(foreign.code, 2);
  t.regex(foreign.stderr, /client\.key of --tls-key is not that of the certificate in .*server\.pem\n/);
});

test("the server's certificate in the environment is not taken for the client's", async (t) => {
  const env = { HEADRACE_TLS_CERT: serverCert, HEADRACE_TLS_KEY: "/nowhere" };
  t.is((await list(t, ServerCredentials.createInsecure(), [], env)).code, 0);
});

test("what is wrong with TLS is told in one line without OpenSSL's words", async (t) => {
  const plain = await list(t, ServerCredentials.createInsecure(), ["--tls-ca", serverCert]);
  t.is(plain.code, 4);
  t.regex(plain.stderr, /^error: no server can be reached at \S+: it does not speak TLS\n→ [^\n]+\n$/);
  const garbled = file("garbled.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  for (const path of [garbled, clientKey]) {
    const wrong = await runCli(["list", "--tls-ca", path]);
    t.is(wrong.code, 2);
    t.is(
      wrong.stderr,
      `error: the file ${path} of --tls-ca holds no certificate in PEM form\n→ correct --tls-ca\n`,
    );
  }
});

test("variables that only clients read are no mistake of the server", (t) => {
  t.notThrows(() => loadConfig({ HEADRACE_TLS: "1", HEADRACE_TLS_CA: "ca.pem" }));
});
