/**
 * Where a part of the server writes what it has to tell operators. A pino logger satisfies it. Fields
 * never hold payloads or credentials; an error goes under `err`.
 */
export interface Log {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}
