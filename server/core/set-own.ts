/**
 * Sets an own property of a plain object, also under "__proto__", where an assignment would replace
 * the prototype instead. Every object that is built from keys of users is built with it.
 */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    target[key] = value;
  }
}
