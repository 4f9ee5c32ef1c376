/**
 * How long to wait before try number `failures + 1`: doubles from `firstMs` up to `maxMs`, then a
 * random half of it is kept, so that replicas do not come back at the same instant.
 */
export function backoffMs(failures: number, firstMs: number, maxMs: number): number {
  if (failures <= 0) return 0;
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return full * (0.5 + Math.random() / 2);
}
