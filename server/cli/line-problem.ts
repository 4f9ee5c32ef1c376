/** Why a connection could not be made, and what to do about it, for people. */
export interface LineProblem {
  readonly what: string;
  readonly remedy: string;
}

const CHECK_CA = "name the authorities of its certificate with --tls-ca or HEADRACE_TLS_CA";

/** What OpenSSL and Node say, by a part of it, in words about the server. */
const PROBLEMS: ReadonlyArray<readonly [said: RegExp, problem: LineProblem]> = [
  [
    /wrong version number|packet length too long|unexpected message|http request/i,
    {
      what: "it does not speak TLS",
      remedy: "leave out --tls-ca, HEADRACE_TLS and https://, or check the address",
    },
  ],
  [
    /certificate required|bad certificate|unknown ca\b|decrypt error|handshake failure/i,
    {
      what: "it demands a certificate of the client that it knows",
      remedy: "give one that it trusts with --tls-cert and --tls-key",
    },
  ],
  [
    /self[- ]signed certificate|unable to (get|verify)[a-z ]*(issuer|first) cert/i,
    { what: "its certificate is not signed by an authority that is trusted here", remedy: CHECK_CA },
  ],
  [
    /certificate has expired|CERT_HAS_EXPIRED/i,
    { what: "its certificate has expired", remedy: "renew the server's certificate" },
  ],
  [
    /ECONNREFUSED|ENOTFOUND|EAI_AGAIN/,
    {
      what: "",
      remedy: "start one with `headrace dev`, or name another with --address or HEADRACE_ADDRESS",
    },
  ],
];

/** What grpc-js tells of a connection that failed. */
export function lineProblem(details: string): LineProblem {
  const said = lastError(details);
  const [, found] = PROBLEMS.find(([pattern]) => pattern.test(said)) ?? [];
  if (found !== undefined) return { ...found, what: found.what === "" ? said : found.what };
  return {
    what: said,
    remedy: "check the address, and whether the server uses TLS: see --tls-ca, --tls-cert and HEADRACE_TLS",
  };
}

/** The part of grpc-js' message that tells why the connection failed, on one line. */
function lastError(details: string): string {
  const said = /Last error: (?:Error: )?([^,]+?)\.?(?: Resolution note:.*)?$/s.exec(details)?.[1] ?? details;
  return said
    .replace(/ \(\d{4}-[^)]*\)$/, "")
    .replaceAll(/\s*\n\s*/g, " ")
    .trim();
}
