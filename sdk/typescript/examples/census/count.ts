/** How much there is of something. A line is a newline character, as `wc -l` counts them. */
export interface Count {
  readonly files: number;
  readonly lines: number;
  readonly bytes: number;
  readonly compressedBytes: number;
}

export const NOTHING: Count = { files: 0, lines: 0, bytes: 0, compressedBytes: 0 };

export function addCount(a: Count | undefined, b: Count): Count {
  const { files, lines, bytes, compressedBytes } = a ?? NOTHING;
  return {
    files: files + b.files,
    lines: lines + b.lines,
    bytes: bytes + b.bytes,
    compressedBytes: compressedBytes + b.compressedBytes,
  };
}

/** Adds up what has the same name. */
export function sumCounts(
  counts: ReadonlyArray<readonly [name: string, count: Count]>,
): Record<string, Count> {
  const sums: Record<string, Count> = {};
  for (const [name, count] of counts) sums[name] = addCount(sums[name], count);
  return sums;
}
