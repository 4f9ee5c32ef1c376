import { performance } from "node:perf_hooks";
import { CAN_READ_USAGE, endedFamilyCpuMs, machineCpuMs } from "./usage.js";

/**
 * Begins to watch how much of the machine other programs use. Called when every process of the
 * benchmark has ended, the answer says how many cores they kept busy on average since then;
 * undefined where the system does not tell.
 */
export function watchOthers(): () => number | undefined {
  if (!CAN_READ_USAGE) return () => undefined;
  const before = othersCpuMs();
  const beganMs = performance.now();
  // The machine counts by samples and processes exactly, so on an idle machine the difference may be below zero.
  return () => {
    const cores = (othersCpuMs() - before) / (performance.now() - beganMs);
    return Math.max(0, Number(cores.toFixed(2)));
  };
}

function othersCpuMs(): number {
  return machineCpuMs() - endedFamilyCpuMs();
}
