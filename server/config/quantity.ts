const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

const BYTE_UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["KiB", 1024],
  ["MiB", 1024 ** 2],
  ["GiB", 1024 ** 3],
]);

/** Milliseconds of "500ms", "10s", "1.5m", "2h" or "7d"; undefined for anything else, plain numbers included. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, DURATION_UNITS);
}

/** The shortest text that parseDuration reads as this many milliseconds. */
export function durationText(ms: number): string {
  return quantityText(ms, DURATION_UNITS);
}

/** Bytes of "4096", "512KiB", "2MiB" or "1GiB"; undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, BYTE_UNITS);
}

/** The shortest text that parseBytes reads as this many bytes. */
export function bytesText(bytes: number): string {
  return quantityText(bytes, BYTE_UNITS);
}

/** A whole number in base units; the written number may have decimals as long as the result has none. */
function parseQuantity(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]*)$/.exec(text);
  const factor = units.get(match?.[2] ?? "");
  if (match === null || factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

function quantityText(value: number, units: ReadonlyMap<string, number>): string {
  let best = "";
  for (const [unit, factor] of units) {
    const isExact = value % factor === 0 && (value > 0 || factor === 1);
    if (best === "" || isExact) best = `${value / factor}${unit}`;
  }
  return best;
}
