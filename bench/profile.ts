import { existsSync, readdirSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** A function that a process spent time in, without what it called. */
export interface HotFunction {
  readonly name: string;
  /** Source file and line, or where in Node it is. */
  readonly place: string;
  /** Part of the time in which the process was not idle, 0 to 1. */
  readonly share: number;
}

interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number;
    readonly callFrame: CallFrame;
  }>;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}

const SHOWN = 25;
const NOT_WORK = new Set(["(idle)", "(root)"]);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The profiles of a directory as text: for each process where its time went. */
export function profilesText(directory: string): string {
  const files = readdirSync(directory).filter((file) => file.endsWith(".cpuprofile"));
  return files.map((file) => profileText(join(directory, file))).join("");
}

function profileText(file: string): string {
  const lines = hottest(JSON.parse(readFileSync(file, "utf8")) as CpuProfile)
    .slice(0, SHOWN)
    .map(({ name, place, share }) => `  ${(100 * share).toFixed(1).padStart(5)} %  ${name}  ${place}\n`);
  return `\n${basename(file)}\n${lines.join("")}`;
}

/** Functions by their own time, most first. */
export function hottest(profile: CpuProfile): HotFunction[] {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const spent = new Map<string, { frame: CallFrame; micros: number }>();
  let total = 0;
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id);
    const micros = profile.timeDeltas[index] ?? 0;
    if (frame === undefined || NOT_WORK.has(frame.functionName)) return;
    total += micros;
    const key = `${frame.functionName} ${frame.url} ${frame.lineNumber} ${frame.columnNumber}`;
    const known = spent.get(key);
    if (known === undefined) spent.set(key, { frame, micros });
    else known.micros += micros;
  });
  return [...spent.values()]
    .sort((a, b) => b.micros - a.micros)
    .map(({ frame, micros }) => ({
      name: frame.functionName === "" ? "(anonymous)" : frame.functionName,
      place: placeOf(frame),
      share: micros / total,
    }));
}

/** Where the source of a function is, by the map beside its compiled file. */
function placeOf({ url, lineNumber, columnNumber }: CallFrame): string {
  if (!url.startsWith("file:")) return url === "" ? "(native)" : `${url}:${lineNumber + 1}`;
  const compiled = fileURLToPath(url);
  const line = sourceLine(compiled, lineNumber, columnNumber) ?? lineNumber + 1;
  return `${relative(ROOT, compiled).replace(/^dist\//, "")}:${line}`;
}

function sourceLine(compiled: string, line: number, column: number): number | undefined {
  const map = `${compiled}.map`;
  if (!existsSync(map)) return undefined;
  const payload = JSON.parse(readFileSync(map, "utf8")) as ConstructorParameters<typeof SourceMap>[0];
  const entry = new SourceMap(payload).findEntry(line, column);
  return "originalLine" in entry ? entry.originalLine + 1 : undefined;
}
