// Control characters could move the cursor or start a link, so text of others never carries them to a terminal.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const COLOR = /\u001b\[\d+m/g;

/** Text of others on one line: line breaks become spaces, other control characters a visible sign. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n\t]+\s*/g, " ").replaceAll(CONTROL, "\ufffd");
}

/** Text of others on its own lines, without other control characters. */
export function manyLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => line.replaceAll("\t", "  ").replaceAll(CONTROL, "\ufffd"))
    .join("\n");
}

/** Columns that text takes on a terminal, colours not counted. */
export function visibleWidth(text: string): number {
  return Array.from(text.replaceAll(COLOR, "")).length;
}

/** The text, cut to a width with an ellipsis. Codes of colours after the cut stay, so that each is ended. */
export function cut(text: string, width: number): string {
  if (visibleWidth(text) <= width) return text;
  let room = Math.max(0, width - 1);
  let result = "";
  for (const [piece] of text.matchAll(/\u001b\[\d+m|./gsu)) {
    if (piece.startsWith("\u001b[")) result += piece;
    else if (room > 0) result += piece;
    else if (room === 0) result += "…";
    if (!piece.startsWith("\u001b[")) room--;
  }
  return result;
}

/** The text in lines of at most a width, broken at spaces. A word that is longer than the width runs on. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`;
    if (lines.length > 0 && visibleWidth(longer) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** Pads on the right to a visible width. */
export function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - visibleWidth(text)));
}

const UNITS: ReadonlyArray<readonly [string, number]> = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
];

/** A duration for people: "350 ms", "1.2 s", "12 s", "3 min 4 s", "2 h 5 min", "3 d 4 h". */
export function durationLabel(ms: number): string {
  const value = Math.max(0, Math.round(ms));
  if (value < 1_000) return `${value} ms`;
  if (value < 10_000) return `${(Math.floor(value / 100) / 10).toFixed(1)} s`;
  const at = UNITS.findIndex(([, size]) => value >= size);
  const [unit, size] = UNITS[at] ?? ["ms", 1];
  const [smallerUnit, smallerSize] = UNITS[at + 1] ?? ["ms", 1];
  const rest = smallerUnit === "ms" ? 0 : Math.floor((value % size) / smallerSize);
  return `${Math.floor(value / size)} ${unit}${rest === 0 ? "" : ` ${rest} ${smallerUnit}`}`;
}

/** When something was or will be, seen from now: "3 s ago", "in 12 s", "now". */
export function relativeTime(atMs: number, nowMs: number): string {
  const distance = nowMs - atMs;
  if (Math.abs(distance) < 1_000) return "now";
  const seconds = Math.floor(Math.abs(distance) / 1_000);
  const label = seconds < 10 ? `${seconds} s` : durationLabel(seconds * 1_000);
  return distance > 0 ? `${label} ago` : `in ${label}`;
}

/** 1234567 as "1,234,567". */
export function countLabel(count: number): string {
  return count.toLocaleString("en-US");
}
