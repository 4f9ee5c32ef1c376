type StopSignal = "SIGTERM" | "SIGINT";
const NUMBERS: Readonly<Record<StopSignal, number>> = { SIGINT: 2, SIGTERM: 15 };
const SIGNALS = Object.keys(NUMBERS) as StopSignal[];

const stops = new Set<() => Promise<void>>();
let stopping = false;

/**
 * Calls `stop` on SIGTERM and SIGINT. When everything registered has stopped the signal takes its
 * usual effect, unless the program listens to it as well; a second signal ends the process at once.
 * Answers a function that undoes the registration.
 */
export function onStopSignal(stop: () => Promise<void>): () => void {
  if (stops.size === 0) for (const signal of SIGNALS) process.on(signal, receive);
  stops.add(stop);
  return () => {
    stops.delete(stop);
    // While stopping, the second signal must still find its listener.
    if (stops.size === 0 && !stopping) unlisten();
  };
}

function receive(signal: NodeJS.Signals): void {
  const known = signal as StopSignal;
  if (stopping) process.exit(128 + NUMBERS[known]);
  stopping = true;
  void stopAll(known);
}

async function stopAll(signal: StopSignal): Promise<void> {
  const results = await Promise.allSettled([...stops].map((stop) => stop()));
  for (const result of results) {
    if (result.status === "rejected") process.emitWarning(`Headrace: ${String(result.reason)}`);
  }
  stopping = false;
  unlisten();
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

function unlisten(): void {
  for (const signal of SIGNALS) process.off(signal, receive);
}
