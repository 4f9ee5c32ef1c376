import type { Style } from "./style.js";
import { cut, pad, visibleWidth } from "./text.js";

const GAP = "  ";
/** No column is made narrower than this to fit the terminal. */
const NARROWEST = 8;

/**
 * Rows under a head, aligned. Columns in which no row has anything are left out. When the whole is wider
 * than `width`, the widest column gives way until it fits. Infinity keeps everything.
 */
export function tableLines(
  head: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
  options: { width: number; style: Style },
): string[] {
  const used = head
    .map((_, column) => column)
    .filter((column) => rows.some((row) => (row[column] ?? "") !== ""));
  const lines = [head, ...rows].map((cells) => used.map((column) => cells[column] ?? ""));
  const natural = used.map((_, place) => Math.max(...lines.map((cells) => visibleWidth(cells[place] ?? ""))));
  const widths = fit(natural, options.width - GAP.length * (used.length - 1));
  const [title = "", ...body] = lines.map((cells) =>
    widths
      .map((width, place) => pad(cut(cells[place] ?? "", width), width))
      .join(GAP)
      .trimEnd(),
  );
  return [options.style.dim(title), ...body];
}

function fit(widths: number[], room: number): number[] {
  const fitted = [...widths];
  let excess = fitted.reduce((sum, width) => sum + width, 0) - room;
  while (excess > 0) {
    const widest = fitted.indexOf(Math.max(...fitted));
    const width = fitted[widest] ?? 0;
    if (width <= NARROWEST) break;
    fitted[widest] = width - 1;
    excess--;
  }
  return fitted;
}

/** Names and values below each other, values aligned in all their lines. Empty values are left out. */
export function factLines(facts: ReadonlyArray<readonly [string, string]>, style: Style): string[] {
  const shown = facts.filter(([, value]) => value !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  const indent = `\n${" ".repeat(width)}${GAP}`;
  return shown.map(
    ([name, value]) => `${style.dim(name.padEnd(width))}${GAP}${value.replaceAll("\n", indent)}`,
  );
}
