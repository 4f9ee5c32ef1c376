import { createHash } from "node:crypto";
import { join } from "node:path";

import type { Ref } from "@headrace/sdk";
import { task, workflow } from "@headrace/sdk";

import type { Count } from "./count.js";
import { addCount, NOTHING, sumCounts } from "./count.js";
import { languageOf } from "./languages.js";
import type { FileList } from "./list-files.js";
import { isUnreadable, listFiles } from "./list-files.js";
import { measureFile } from "./measure-file.js";
import { cutIntoShards } from "./shards.js";

/** The files of one shard, their paths below the folder. */
interface Shard {
  readonly folder: string;
  readonly paths: readonly string[];
}

/** What a folder comes to. */
export interface Census extends Omit<FileList, "files"> {
  readonly languages: Readonly<Record<string, Count>>;
  readonly total: Count;
  /** Equal for equal paths and contents. */
  readonly fingerprint: string;
}

/** What one shard comes to. */
interface Part {
  readonly languages: Readonly<Record<string, Count>>;
  readonly unreadable: readonly string[];
  readonly digest: string;
}

// A task is a plain async function. Whatever JSON can say goes in and comes out.
const list = task("list-files", async (input: { folder: string; shards: number }, { signal }) => {
  const { files, ...rest } = await listFiles(input.folder, signal);
  return { ...rest, shards: cutIntoShards(files, input.shards) };
});

// The signal is aborted when the execution is cancelled; progress is what `headrace get` shows.
const measure = task("measure-files", async ({ folder, paths }: Shard, context): Promise<Part> => {
  const languages: Record<string, Count> = {};
  const unreadable: string[] = [];
  const digest = createHash("sha256");
  for (const [done, path] of paths.entries()) {
    context.progress(done, paths.length);
    try {
      const { hash, ...count } = await measureFile(join(folder, path), context.signal);
      const language = languageOf(path);
      languages[language] = addCount(languages[language], { files: 1, ...count });
      digest.update(`${path}\0${hash}\n`);
    } catch (error) {
      // Anything else fails the attempt, and the server starts another one.
      if (!isUnreadable(error)) throw error;
      unreadable.push(path);
    }
  }
  return { languages, unreadable, digest: digest.digest("hex") };
});

const sumUp = task("sum-up", ({ parts, ...found }: Omit<FileList, "files"> & { parts: Part[] }): Census => {
  const languages = sumCounts(parts.flatMap((part) => Object.entries(part.languages)));
  const digests = parts.map((part) => part.digest).join("\n");
  return {
    ...found,
    unreadable: [...found.unreadable, ...parts.flatMap((part) => part.unreadable)],
    languages,
    total: Object.values(languages).reduce(addCount, NOTHING),
    fingerprint: createHash("sha256").update(digests).digest("hex"),
  };
});

const SHARDS = 8;

/** Lists the files of a folder, measures them in shards side by side, and sums up. */
export const census = workflow("code-census", ({ folder }: Ref<{ folder: string }>) => {
  const found = list({ folder, shards: SHARDS });
  const parts = Array.from({ length: SHARDS }, (_, i) =>
    measure.with({ id: `measure-${i + 1}` })({ folder, paths: found.shards[i] as Ref<string[]> }),
  );
  const { selection, skipped, unreadable } = found;
  return sumUp({ selection, skipped, unreadable, parts });
});
