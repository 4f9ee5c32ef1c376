import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { HeadraceError } from "../core/errors.js";

/** Where a database is and who connects. The password never appears in a message. */
export interface DatabaseAddress {
  /** Host name, or the directory of the unix socket (begins with a slash). */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly ssl: false | ConnectionOptions;
}

const PARAMETERS = new Set([
  "host",
  "port",
  "user",
  "password",
  "dbname",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
]);

const DEFAULT_PORT = 5432;

/**
 * Parses `postgres://user:password@host:port/database?sslmode=…`. The query may also carry host (a
 * socket directory), port, user, password and dbname, as libpq allows. Throws DATABASE_UNUSABLE.
 */
export function parseDatabaseUrl(text: string): DatabaseAddress {
  const url = splitUrl(text);
  for (const key of url.searchParams.keys()) {
    if (!PARAMETERS.has(key)) {
      throw invalid(`unknown parameter "${key}"; known are ${[...PARAMETERS].join(", ")}`);
    }
  }
  const parameter = (key: string): string | undefined => url.searchParams.get(key) ?? undefined;
  const user = parameter("user") ?? (decode(url.username, "user") || undefined);
  const host = parameter("host") ?? (decode(url.hostname, "host").replace(/^\[(.*)\]$/, "$1") || "localhost");
  const database = parameter("dbname") ?? (decode(url.pathname.slice(1), "database") || user);
  if (database === undefined) throw invalid("it names no database; write postgres://host/database");
  return {
    host,
    port: parsePort(parameter("port") ?? url.port),
    database,
    user,
    password: parameter("password") ?? (decode(url.password, "password") || undefined),
    ssl: host.startsWith("/") ? false : parseSsl(parameter),
  };
}

/** The address for people and logs: `user@host:port/database`, without the password. */
export function describeAddress(address: DatabaseAddress): string {
  const user = address.user === undefined ? "" : `${address.user}@`;
  const place = address.host.startsWith("/")
    ? `${address.host}/.s.PGSQL.${address.port}`
    : `${address.host}:${address.port}`;
  return `${user}${place}/${address.database}`;
}

function splitUrl(text: string): URL {
  if (text === "") throw invalid("it is empty");
  if (!/^postgres(ql)?:\/\//.test(text)) throw invalid("it must begin with postgres:// or postgresql://");
  try {
    // libpq allows a user without a host (a unix socket), URL does not.
    return new URL(text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[/?]|$)/, "$1localhost"));
  } catch {
    // The error of URL repeats its input, password included: it is dropped on purpose.
    throw invalid("it is not a URL; characters such as @ / : # ? in a password must be percent-encoded");
  }
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(`its ${part} has a broken percent-encoding; write % itself as %25`);
  }
}

function parsePort(text: string): number {
  if (text === "") return DEFAULT_PORT;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw invalid(`port "${text}" is not a number from 1 to 65535`);
  }
  return port;
}

/** sslmode means what it means to libpq, except that nothing ever falls back to plaintext by itself. */
function parseSsl(parameter: (key: string) => string | undefined): false | ConnectionOptions {
  const mode = parameter("sslmode") ?? "disable";
  const files = readTlsFiles(parameter);
  switch (mode) {
    case "disable":
      if (Object.keys(files).length > 0) throw invalid("it names TLS files but sslmode is not set");
      return false;
    case "require":
      return files.ca === undefined ? { ...files, rejectUnauthorized: false } : verifyIssuer(files);
    case "verify-ca":
      return verifyIssuer(files);
    case "verify-full":
      return { ...files, rejectUnauthorized: true };
    default:
      throw invalid(`sslmode "${mode}" is not one of disable, require, verify-ca, verify-full`);
  }
}

function verifyIssuer(files: ConnectionOptions): ConnectionOptions {
  return { ...files, rejectUnauthorized: true, checkServerIdentity: () => undefined };
}

function readTlsFiles(parameter: (key: string) => string | undefined): ConnectionOptions {
  const read = (key: string): string | undefined => {
    const path = parameter(key);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      throw invalid(`${key} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const [ca, cert, key] = [read("sslrootcert"), read("sslcert"), read("sslkey")];
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

function invalid(what: string): HeadraceError {
  return new HeadraceError("DATABASE_UNUSABLE", `The database URL is not valid: ${what}.`, {
    field: "DATABASE_URL",
  });
}
