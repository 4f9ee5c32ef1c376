import type { FoundFile } from "./list-files.js";

/** Opening and closing a file takes about as long as compressing so much. */
const BYTES_PER_FILE = 16_384;

/**
 * Cuts files into shards that take about the same time: the largest first, each to the shard that has
 * least so far. The same files always give the same shards.
 */
export function cutIntoShards(files: readonly FoundFile[], count: number): string[][] {
  const shards = Array.from({ length: count }, () => ({ load: 0, paths: [] as string[] }));
  const bySize = files.toSorted((a, b) => b.bytes - a.bytes || (a.path < b.path ? -1 : 1));
  for (const { path, bytes } of bySize) {
    const shard = shards.reduce((least, each) => (each.load < least.load ? each : least));
    shard.load += bytes + BYTES_PER_FILE;
    shard.paths.push(path);
  }
  return shards.map(({ paths }) => paths.toSorted());
}
