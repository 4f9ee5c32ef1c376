import type { Style } from "./style.js";
import { cut, pad, visibleWidth, wrap } from "./text.js";

const GAP = "  ";
/** No column is made narrower than this to fit the terminal: it holds the longest status. */
const NARROWEST = 9;
/** Sentences need more room than words. */
const NARROWEST_TEXT = 20;

/** What must stay readable in a table that is wider than the terminal. Columns are named by their titles. */
export interface TableLayout {
  /** Shown whole in any case, such as the ids that other commands take. */
  readonly keys?: readonly string[];
  /** Left out rather than cut. */
  readonly uncut?: readonly string[];
  /** The last column, if its text goes on in further lines rather than being cut. */
  readonly wraps?: string;
}

interface Column {
  readonly place: number;
  readonly natural: number;
  readonly least: number;
  readonly isKey: boolean;
  readonly wraps: boolean;
}

/**
 * Rows under a head, aligned. Columns in which no row has anything are left out. When the whole is wider
 * than `width`, columns that are no keys are left out from the right until the others fit when narrowed,
 * and then the widest gives way. Infinity keeps everything.
 */
export function tableLines(
  head: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
  { width, style, layout = {} }: { width: number; style: Style; layout?: TableLayout },
): string[] {
  const used = head
    .map((_, place) => describeColumn([head, ...rows], place, layout))
    .filter(({ place }) => rows.some((row) => (row[place] ?? "") !== ""));
  const columns = leaveOut(used, width);
  const widths = fit(columns, width - GAP.length * (columns.length - 1));
  const [title = [], ...body] = [head, ...rows].map((cells) => rowLines(cells, columns, widths));
  return [...title.map((line) => style.dim(line)), ...body.flat()];
}

function describeColumn(
  lines: ReadonlyArray<readonly string[]>,
  place: number,
  { keys = [], uncut = [], wraps }: TableLayout,
): Column {
  const title = lines[0]?.[place] ?? "";
  const natural = lines.reduce((widest, cells) => Math.max(widest, visibleWidth(cells[place] ?? "")), 0);
  const isKey = keys.includes(title);
  const floor = title === wraps ? NARROWEST_TEXT : NARROWEST;
  const least = isKey || uncut.includes(title) ? natural : Math.min(natural, floor);
  return { place, natural, least, isKey, wraps: title === wraps };
}

function leaveOut(columns: readonly Column[], width: number): Column[] {
  const kept = [...columns];
  const room = (): number => kept.reduce((sum, { least }) => sum + least + GAP.length, -GAP.length);
  while (room() > width) {
    const last = kept.findLastIndex(({ isKey, wraps }) => !isKey && !wraps);
    if (last < 0) break;
    kept.splice(last, 1);
  }
  return kept;
}

function fit(columns: readonly Column[], room: number): number[] {
  const fitted = columns.map(({ natural }) => natural);
  const spare = (index: number): boolean => (fitted[index] ?? 0) > (columns[index]?.least ?? 0);
  let excess = fitted.reduce((sum, width) => sum + width, 0) - room;
  while (excess > 0) {
    const widest = Math.max(...fitted.filter((_, index) => spare(index)));
    const index = fitted.findIndex((width, candidate) => width === widest && spare(candidate));
    if (index < 0) break;
    fitted[index] = widest - 1;
    excess--;
  }
  return fitted;
}

/** The lines of a row: one, or more when the last cell goes on below itself. */
function rowLines(cells: readonly string[], columns: readonly Column[], widths: readonly number[]): string[] {
  const texts = columns.map(({ place, wraps }, index) => {
    const [cell = "", width = 0] = [cells[place], widths[index]];
    return wraps ? wrap(cell, width) : [cut(cell, width)];
  });
  const height = Math.max(1, ...texts.map((lines) => lines.length));
  return Array.from({ length: height }, (_, line) =>
    texts
      .map((lines, index) => pad(lines[line] ?? "", widths[index] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
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
