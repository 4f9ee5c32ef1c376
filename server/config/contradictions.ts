import type { Violation } from "../core/errors.js";
import type { Config, Origin, SettingName } from "./settings.js";

type Origins = Readonly<Record<SettingName, Origin>>;

/**
 * Settings that are right by themselves and wrong together. A setting that could not be read is absent
 * from the values; rules that need it are then left out.
 */
export function contradictions(values: Partial<Config>, origins: Origins): Violation[] {
  const found: Violation[] = [];
  const report = (name: SettingName, message: string): void => {
    const field = origins[name].from;
    found.push({
      field,
      reason: "CONTRADICTION",
      message: `${field} is ${quoted(origins[name])}, ${message}`,
    });
  };
  const atMost = (lower: SettingName, upper: SettingName): void => {
    const [low, high] = [values[lower], values[upper]];
    if (typeof low !== "number" || typeof high !== "number" || low <= high) return;
    report(lower, `more than ${origins[upper].from}, which is ${quoted(origins[upper])}`);
  };
  atMost("databasePoolMin", "databasePoolMax");
  atMost("maxPayloadBytes", "maxMessageBytes");
  atMost("closedGraceMs", "beatTimeoutMs");
  atMost("deliveryTimeoutMs", "beatTimeoutMs");
  const needs = (name: SettingName, other: SettingName, remedy: string): void => {
    if (origins[name].text === undefined || origins[other].text !== undefined) return;
    report(name, `but ${origins[other].from} is not set; ${remedy}`);
  };
  needs("tlsCertFile", "tlsKeyFile", "set both or neither");
  needs("tlsKeyFile", "tlsCertFile", "set both or neither");
  needs("tlsClientCaFile", "tlsCertFile", "it takes effect with TLS only");
  const isPlain = origins.tlsCertFile.text === undefined && origins.tlsKeyFile.text === undefined;
  if (values.host !== undefined && isPlain && values.insecure === false && !isLoopback(values.host)) {
    report(
      "host",
      "which others can reach, without TLS; set HEADRACE_TLS_CERT and HEADRACE_TLS_KEY, or HEADRACE_INSECURE=on if the network is trusted",
    );
  }
  return found;
}

/** Whether only this machine can reach a host by this name. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

function quoted(origin: Origin): string {
  return origin.text === undefined ? "not set" : origin.text;
}
