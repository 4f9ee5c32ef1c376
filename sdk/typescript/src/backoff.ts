const FIRST_MS = 50;
const CAP_MS = 2_000;

/** How long to wait before try `tries` + 1, with jitter: doubles from 50 ms and is never above 2 s. */
export function backoffMs(tries: number): number {
  const ceiling = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(tries, 10));
  return ceiling * (0.5 + Math.random() / 2);
}
