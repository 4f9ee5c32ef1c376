/**
 * The smallest value that at least `share` (0 to 1) of the values do not exceed: nearest rank, so it
 * is always a value that was measured. Throws RangeError when there are no values.
 */
export function percentile(values: readonly number[], share: number): number {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`A percentile is asked for at ${share}, not 0 to 1`);
  return at(ascending(values), Math.max(0, Math.ceil(share * values.length) - 1));
}

/** The middle value; of an even number the mean of the two in the middle. Throws RangeError as above. */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const last = sorted.length - 1;
  return (at(sorted, Math.floor(last / 2)) + at(sorted, Math.ceil(last / 2))) / 2;
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

function at(sorted: readonly number[], index: number): number {
  const value = sorted[index];
  if (value === undefined) throw new RangeError("There are no values");
  return value;
}
