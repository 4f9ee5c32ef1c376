import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

const NEWLINE = 10;

/** Reads a file once, whatever its size, and counts, hashes and compresses it on the way. */
export async function measureFile(
  path: string,
  signal: AbortSignal,
): Promise<{ lines: number; bytes: number; compressedBytes: number; hash: string }> {
  const hash = createHash("sha256");
  let lines = 0;
  let bytes = 0;
  let compressedBytes = 0;
  await pipeline(
    createReadStream(path),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        bytes += chunk.length;
        lines += countNewlines(chunk);
        yield chunk;
      }
    },
    createGzip(),
    async (compressed: AsyncIterable<Buffer>) => {
      for await (const chunk of compressed) compressedBytes += chunk.length;
    },
    { signal },
  );
  return { lines, bytes, compressedBytes, hash: hash.digest("hex") };
}

function countNewlines(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
