import type { Environment } from "../config.js";

type Paint = (text: string) => string;

/** Colours of text, or none. */
export interface Style {
  readonly enabled: boolean;
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly blue: Paint;
  readonly cyan: Paint;
}

/** Colours by the codes of terminals, or a style that leaves text as it is. */
export function createStyle(enabled: boolean): Style {
  const paint =
    (on: number, off: number): Paint =>
    (text) =>
      enabled && text !== "" ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    enabled,
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
    blue: paint(34, 39),
    cyan: paint(36, 39),
  };
}

/** Whether a stream should get colours: a terminal, unless --no-color, NO_COLOR or TERM=dumb say otherwise. */
export function wantsColor(stream: NodeJS.WriteStream, env: Environment, noColor: boolean): boolean {
  return stream.isTTY && !noColor && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
}
