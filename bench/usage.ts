import { readdirSync, readFileSync } from "node:fs";

/** Linux counts CPU time in hundredths of a second, on every architecture that Node runs on. */
const TICK_MS = 10;

/** Whether this system tells what other processes use. */
export const CAN_READ_USAGE = process.platform === "linux";

/** CPU time that a process has used so far, in milliseconds; NaN where the system does not tell. */
export function cpuMsOf(pid: number): number {
  if (!CAN_READ_USAGE) return Number.NaN;
  const { ownTicks } = readStat(pid);
  return ownTicks * TICK_MS;
}

/** The same with its children, those that have ended included: PostgreSQL is one process a connection. */
export function familyCpuMsOf(pid: number): number {
  if (!CAN_READ_USAGE) return Number.NaN;
  const parent = readStat(pid);
  const children = childrenOf(pid).map((stat) => stat.ownTicks);
  return (
    [parent.ownTicks, parent.endedChildrenTicks, ...children].reduce((sum, each) => sum + each) * TICK_MS
  );
}

/** The most memory that a process has had at once since its start, in bytes; NaN where the system does not tell. */
export function peakRssBytesOf(pid: number): number {
  if (!CAN_READ_USAGE) return Number.NaN;
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) * 1024;
}

/** CPU time in milliseconds that all programs together have used so far, or that the host has kept from this machine. */
export function machineCpuMs(): number {
  const text = readFileSync("/proc/stat", "utf8");
  // user nice system idle iowait irq softirq steal; what follows is contained in these.
  const [user, nice, system, , , irq, softirq, steal] = text.split(/\s+/, 9).slice(1).map(Number);
  return (
    [user, nice, system, irq, softirq, steal].reduce<number>((sum, each) => sum + (each ?? 0), 0) * TICK_MS
  );
}

/** The same for this process, with all of its descendants that have ended. */
export function endedFamilyCpuMs(): number {
  const { ownTicks, endedChildrenTicks } = readStat("self");
  return (ownTicks + endedChildrenTicks) * TICK_MS;
}

interface Stat {
  readonly parent: number;
  readonly ownTicks: number;
  readonly endedChildrenTicks: number;
}

function readStat(pid: number | string): Stat {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the name in parentheses and may hold blanks; the third, the state, comes after it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = (field: number): number => Number(fields[field - 3]);
  return {
    parent: ticks(4),
    ownTicks: ticks(14) + ticks(15),
    endedChildrenTicks: ticks(16) + ticks(17),
  };
}

function childrenOf(pid: number): Stat[] {
  const numbers = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return numbers.flatMap((number) => {
    try {
      const stat = readStat(number);
      return stat.parent === pid ? [stat] : [];
    } catch {
      // It ended between the list and this look; its time is in that of its parent.
      return [];
    }
  });
}
