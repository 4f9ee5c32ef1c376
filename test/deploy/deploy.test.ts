import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Server, ServerCredentials, type ServiceDefinition } from "@grpc/grpc-js";
import test from "ava";
import { parse } from "yaml";
import { readSourceFiles, repositoryRoot } from "../support/source-files.js";

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly environment: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

const read = (path: string): string => readFileSync(join(repositoryRoot, path), "utf8");
const compose = parse(read("docker-compose.yml")) as { services: Readonly<Record<string, Service>> };
const dockerfile = read("server/deploy/Dockerfile");
const server = compose.services["server"]!;
const postgres = compose.services["postgres"]!;

/** The sources that define the settings of the server. */
const settings = readSourceFiles()
  .filter(({ path }) => /^server\/config(\/[\w-]+)?\.ts$/.test(path))
  .map(({ text }) => text)
  .join("\n");

test("every variable that the composition sets is a setting of the server", (t) => {
  for (const name of Object.keys(server.environment)) {
    t.true(settings === "" || settings.includes(`"${name}"`), `${name} is no setting`);
  }
});

test("the server listens where its port is published, and that is the default port", (t) => {
  const port = server.environment["HEADRACE_PORT"];
  t.deepEqual(server.ports, [`127.0.0.1:${port}:${port}`]);
  t.true(dockerfile.includes(`EXPOSE ${port}\n`));
  t.true(read("server/deploy/health-check.mjs").includes(`|| "${port}"`));
  t.true(settings === "" || new RegExp(`"HEADRACE_PORT"[^}]*default: "${port}"`).test(settings));
});

test("the server's database URL fits the PostgreSQL beside it", (t) => {
  const url = new URL(server.environment["HEADRACE_DATABASE_URL"]!);
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = postgres.environment;
  t.is(
    `${url.username}:${url.password}@${url.hostname}${url.pathname}`,
    `${POSTGRES_USER}:${POSTGRES_PASSWORD}@postgres/${POSTGRES_DB}`,
  );
  t.is(server.depends_on?.["postgres"]?.condition, "service_healthy");
});

test("services are checked for health, open to this machine only, and pinned to a version", (t) => {
  for (const [name, service] of Object.entries(compose.services)) {
    t.truthy(service.healthcheck?.test.length, name);
    for (const port of service.ports) t.regex(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    if (service.image !== undefined) t.regex(service.image, /^[\w./-]+:\d+\.\d+[\w.-]*$/, name);
    if (service.build !== undefined)
      t.true(existsSync(join(repositoryRoot, service.build.context, service.build.dockerfile)));
  }
});

test("the image is built in stages from one pinned base, runs as no root, and copies what exists", (t) => {
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
  t.true(bases.length > 1);
  t.is(new Set(bases).size, 1);
  t.regex(bases[0] ?? "", /^node:22\.\d+\.\d+-\w+-slim$/);
  const last = dockerfile.slice(dockerfile.lastIndexOf("\nFROM "));
  t.regex(last, /^USER (?!root)\w+$/m);
  const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
    (match[1] ?? "").split(" "),
  );
  t.true(copies.length > 5);
  for (const path of copies) t.true(existsSync(join(repositoryRoot, path)), path);
});

const health = {
  Check: {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Buffer) => value,
    requestDeserialize: (value: Buffer) => value,
    responseSerialize: (value: Buffer) => value,
    responseDeserialize: (value: Buffer) => value,
  },
} satisfies ServiceDefinition;

/** The exit code of the image's health check against a server that answers with a status, or none at all. */
async function checkHealth(status: number | undefined): Promise<unknown> {
  const grpc = new Server();
  grpc.addService(health, {
    Check: (_: unknown, answer: (error: null, bytes: Buffer) => void) =>
      answer(null, Buffer.from([0x08, status ?? 0])),
  });
  const port = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  if (status === undefined) grpc.forceShutdown();
  const child = spawn(process.execPath, [join(repositoryRoot, "server/deploy/health-check.mjs")], {
    env: { ...process.env, HEADRACE_PORT: String(port) },
    stdio: "ignore",
  });
  const [code] = (await once(child, "exit")) as [unknown];
  grpc.forceShutdown();
  return code;
}

test("the health check of the image tells a serving server from all others", async (t) => {
  t.is(await checkHealth(1), 0, "SERVING");
  t.is(await checkHealth(2), 1, "NOT_SERVING");
  t.is(await checkHealth(undefined), 1, "nobody listens");
});
