import { bytesText, durationText, parseBytes, parseDuration } from "./quantity.js";

/** What is wrong with a value. The message continues "<name> is <value>, ". */
export class ValueProblem extends Error {
  readonly reason: "INVALID_VALUE" | "OUT_OF_RANGE";

  constructor(reason: "INVALID_VALUE" | "OUT_OF_RANGE", message: string) {
    super(message);
    this.name = "ValueProblem";
    this.reason = reason;
  }
}

/** How a setting is written and read. */
export interface Kind<T> {
  /** Stands for the value in help, such as "duration". */
  readonly name: string;
  /** What may be written, for people. */
  readonly allowed: string;
  /** Whether a value must not be shown as it is. */
  readonly secret: boolean;
  /** Throws ValueProblem. */
  parse(text: string): T;
}

interface Range {
  readonly min: number;
  readonly max: number;
}

/** A whole number. */
export function integer(range: Range): Kind<number> {
  return numeric("number", range, {
    parse: (text) => (/^-?\d{1,15}$/.test(text) ? Number(text) : undefined),
    show: String,
    expected: "a whole number",
  });
}

/** Bytes; written plain or with KiB, MiB, GiB. */
export function bytes(range: Range): Kind<number> {
  return numeric("bytes", range, {
    parse: parseBytes,
    show: bytesText,
    expected: "a number of bytes such as 4096, 512KiB or 2MiB",
  });
}

/** Milliseconds; written with a unit, because a bare number leaves open which one is meant. */
export function duration(range: Range): Kind<number> {
  return numeric("duration", range, {
    parse: parseDuration,
    show: durationText,
    expected: "a duration with its unit, such as 500ms, 10s or 5m",
  });
}

/** Milliseconds; written as plain seconds, as is the custom for DB_* variables. */
export function seconds(rangeMs: Range): Kind<number> {
  return numeric("seconds", rangeMs, {
    parse: (text) => (/^\d{1,9}(\.\d{1,3})?$/.test(text) ? Math.round(Number(text) * 1_000) : undefined),
    show: (ms) => String(ms / 1_000),
    expected: "a number of seconds without a unit",
  });
}

interface Notation {
  parse(text: string): number | undefined;
  show(value: number): string;
  readonly expected: string;
}

function numeric(name: string, { min, max }: Range, notation: Notation): Kind<number> {
  return {
    name,
    allowed: `${notation.show(min)} to ${notation.show(max)}`,
    secret: false,
    parse(text) {
      const value = notation.parse(text);
      if (value === undefined) throw new ValueProblem("INVALID_VALUE", `expected ${notation.expected}`);
      if (value < min) throw new ValueProblem("OUT_OF_RANGE", `the minimum is ${notation.show(min)}`);
      if (value > max) throw new ValueProblem("OUT_OF_RANGE", `the maximum is ${notation.show(max)}`);
      return value;
    },
  };
}

/** A switch, written on or off (or true or false). */
export function onOff(): Kind<boolean> {
  const words = new Map([
    ["on", true],
    ["off", false],
    ["true", true],
    ["false", false],
  ]);
  return {
    name: "on|off",
    allowed: "on or off",
    secret: false,
    parse(text) {
      const value = words.get(text.toLowerCase());
      if (value === undefined) throw new ValueProblem("INVALID_VALUE", "expected on or off");
      return value;
    },
  };
}

/** One of some words. */
export function choice<const Word extends string>(words: readonly Word[]): Kind<Word> {
  return {
    name: words.join("|"),
    allowed: words.join(", "),
    secret: false,
    parse(text) {
      const word = words.find((candidate) => candidate === text);
      if (word === undefined) throw new ValueProblem("INVALID_VALUE", `expected one of ${words.join(", ")}`);
      return word;
    },
  };
}

/** Text that matches a pattern as a whole. `expected` says what the pattern wants. */
export function text(name: string, pattern: RegExp, expected: string): Kind<string> {
  return {
    name,
    allowed: expected,
    secret: false,
    parse(value) {
      if (!pattern.test(value)) throw new ValueProblem("INVALID_VALUE", `expected ${expected}`);
      return value;
    },
  };
}

/** The URL of a PostgreSQL database; kept as text, because libpq's forms go beyond what URL parsers accept. */
export function postgresUrl(): Kind<string> {
  const kind = text("url", /^postgres(ql)?:\/\/\S+$/, "postgres://user:password@host:5432/database");
  return { ...kind, secret: true };
}
