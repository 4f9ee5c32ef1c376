import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join } from "node:path";
import { installedBinaries } from "../server/store/embedded/postgres-binaries.js";
import { serverAccount } from "../server/store/embedded/server-account.js";

/** Where and when figures were measured; figures of different machines do not compare. */
export interface MachineFacts {
  readonly date: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly postgres: string;
}

/** Reads the facts. */
export function readMachine(): MachineFacts {
  return {
    date: new Date().toISOString(),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? "unknown",
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    postgres: postgresVersion(),
  };
}

function postgresVersion(): string {
  const program = join(installedBinaries(serverAccount()).bin, "postgres");
  const text = execFileSync(program, ["--version"], { encoding: "utf8" });
  return /\d[\d.]*/.exec(text)?.[0] ?? text.trim();
}
