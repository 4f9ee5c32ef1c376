import { Writable } from "node:stream";
import { pino, type Logger } from "pino";

/** How the log of a server is written. */
export interface LogOptions {
  /** Least important level that is written. */
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** auto is pretty on a terminal and json elsewhere. */
  readonly format: "auto" | "json" | "pretty";
  /** Of the pretty format. */
  readonly color: boolean;
}

/** The log of a server on a stream: JSON lines for machines, or lines for people. */
export function createLogger({ level, format, color }: LogOptions, stream: NodeJS.WriteStream): Logger {
  const isPretty = format === "pretty" || (format === "auto" && stream.isTTY);
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, isPretty ? prettyStream(stream, color) : stream);
}

function prettyStream(stream: NodeJS.WriteStream, color: boolean): Writable {
  return new Writable({
    decodeStrings: false,
    write(line: string, _, done) {
      stream.write(prettyLine(line, color), done);
    },
  });
}

const GREEN = 32;
const YELLOW = 33;
const RED = 31;
const GREY = 90;

const LEVEL_COLORS: Readonly<Record<string, number>> = { info: GREEN, warn: YELLOW, error: RED, fatal: RED };

/** A JSON line of the log as "12:00:01.123 INFO  message key=value" in UTC, the stack of an error below it. */
export function prettyLine(line: string, color: boolean): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const paint = (code: number, text: string): string => (color ? `\u001b[${code}m${text}\u001b[39m` : text);
  const parts = [
    paint(GREY, String(time).slice(11, 23)),
    paint(LEVEL_COLORS[String(level)] ?? GREY, String(level).toUpperCase().padEnd(5)),
    typeof msg === "string" ? printable(msg) : "",
    ...Object.entries(fields).map(([name, value]) => paint(GREY, `${name}=${fieldText(value)}`)),
  ];
  const stack = stackOf(err);
  return `${parts.join(" ")}\n${stack === "" ? "" : `${paint(GREY, stack)}\n`}`;
}

function fieldText(value: unknown): string {
  return typeof value === "string" && /^[\w.:/-]+$/.test(value) ? value : JSON.stringify(value);
}

function stackOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const text = "stack" in error && typeof error.stack === "string" ? error.stack : JSON.stringify(error);
  return text.split("\n").map(printable).join("\n");
}

/** Names and messages come from others too; control characters in them could drive the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, "\ufffd");
}
