import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ChannelCredentials } from "@grpc/grpc-js";
import type { Environment } from "../config.js";
import { usageError } from "./cli-error.js";
import { fileErrorText } from "./file-error.js";
import type { ClientOptions } from "./global-options.js";

/** A PEM file, with the option or variable that names it. */
interface NamedFile {
  readonly path: string;
  readonly from: string;
}

/** How a client secures its calls. */
export interface ClientTls {
  /** Who may have signed the server's certificate. Undefined: the authorities that Node knows. */
  readonly ca: NamedFile | undefined;
  /** The client's own, for servers that demand one. */
  readonly own: { readonly cert: NamedFile; readonly key: NamedFile } | undefined;
}

/**
 * What the options, the variables and an https:// address ask for; undefined is plaintext. The variables
 * are those of the SDKs, except that HEADRACE_TLS_CERT and HEADRACE_TLS_KEY mean the server's certificate
 * to this program, so that the client's own comes by options only.
 */
export function resolveTls(options: ClientOptions, env: Environment, address: string): ClientTls | undefined {
  const ca = namedFile(options.tlsCa, "--tls-ca") ?? namedFile(env.HEADRACE_TLS_CA, "HEADRACE_TLS_CA");
  const cert = namedFile(options.tlsCert, "--tls-cert");
  const key = namedFile(options.tlsKey, "--tls-key");
  if ((cert === undefined) !== (key === undefined)) {
    throw usageError(
      `${cert === undefined ? "--tls-key" : "--tls-cert"} is given alone`,
      "give both --tls-cert and --tls-key, or neither",
    );
  }
  const own = cert === undefined || key === undefined ? undefined : { cert, key };
  const isAsked = readSwitch(env.HEADRACE_TLS ?? "") || address.startsWith("https://");
  return ca === undefined && own === undefined && !isAsked ? undefined : { ca, own };
}

/** What grpc-js secures a connection with. Throws a CliError that names the file that is wrong. */
export function clientCredentials(tls: ClientTls | undefined): ChannelCredentials {
  if (tls === undefined) return ChannelCredentials.createInsecure();
  const ca = tls.ca === undefined ? null : readPem(tls.ca, "CERTIFICATE");
  if (tls.own === undefined) return ChannelCredentials.createSsl(ca);
  const cert = readPem(tls.own.cert, "CERTIFICATE");
  const key = readPem(tls.own.key, "PRIVATE KEY");
  try {
    createSecureContext({ cert, key });
  } catch {
    throw usageError(
      `the key in ${tls.own.key.path} of --tls-key is not that of the certificate in ${tls.own.cert.path}`,
      "give a certificate and its own key, both as PEM",
    );
  }
  return ChannelCredentials.createSsl(ca, key, cert);
}

function namedFile(path: string | undefined, from: string): NamedFile | undefined {
  return path === undefined || path === "" ? undefined : { path, from };
}

function readSwitch(value: string): boolean {
  if (["1", "true"].includes(value)) return true;
  if (["", "0", "false"].includes(value)) return false;
  throw usageError(
    `HEADRACE_TLS is "${value}", expected 1 or 0`,
    "set it to 1 for TLS; a file of authorities goes into HEADRACE_TLS_CA",
  );
}

/** OpenSSL's own words for a file that is none of its kind help nobody, so it is looked at before. */
function readPem({ path, from }: NamedFile, kind: "CERTIFICATE" | "PRIVATE KEY"): Buffer {
  const pem = readNamed(path, from);
  const isOfKind = new RegExp(`-----BEGIN [A-Z ]*${kind}-----`).test(pem.toString("latin1"));
  if (!isOfKind || (kind === "CERTIFICATE" && !isReadable(pem))) {
    throw usageError(
      `the file ${path} of ${from} holds no ${kind.toLowerCase()} in PEM form`,
      `correct ${from}`,
    );
  }
  return pem;
}

function readNamed(path: string, from: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw usageError(
      `the file ${path} of ${from} cannot be read: ${fileErrorText(error)}`,
      `correct ${from}`,
    );
  }
}

function isReadable(pem: Buffer): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}
