import { HeadraceError, type Violation } from "../core/errors.js";

interface FieldFacts {
  readonly limit?: number | string;
  readonly actual?: number | string;
}

/** Collects everything that is wrong with a request, so that one answer names it all. */
export class FieldCheck {
  readonly #invalid: Array<Violation & FieldFacts> = [];
  readonly #unsupported: Violation[] = [];

  /** Notes a wrong field. The message is a sentence that names the value, the limit, or what is expected. */
  invalid(field: string, message: string, facts: FieldFacts = {}): void {
    this.#invalid.push({ field, reason: "INVALID_FIELD", message, ...facts });
  }

  /** Notes the use of a part of the contract that this server does not implement. */
  unsupported(field: string, message: string): void {
    this.#unsupported.push({ field, reason: "NOT_SUPPORTED_YET", message });
  }

  /** What the function returns, or undefined when it throws a refusal of a field, which is noted. */
  attempt<T>(convert: () => T): T | undefined {
    try {
      return convert();
    } catch (error) {
      if (!(error instanceof HeadraceError) || error.facts.field === undefined) throw error;
      const { field, limit, actual } = error.facts;
      this.#invalid.push({
        ...{ field, reason: error.reason, message: error.message },
        ...(limit !== undefined && { limit }),
        ...(actual !== undefined && { actual }),
      });
      return undefined;
    }
  }

  /** Everything found so far. */
  get violations(): readonly Violation[] {
    return [...this.#invalid, ...this.#unsupported];
  }

  /** Throws INVALID_FIELD, or else NOT_SUPPORTED_YET, with all that was noted. */
  finish(): void {
    const [first, ...others] = this.#invalid;
    if (first !== undefined) {
      const { field, message, limit, actual } = first;
      throw new HeadraceError("INVALID_FIELD", summary(message, others.length), {
        field,
        ...(limit !== undefined && { limit }),
        ...(actual !== undefined && { actual }),
        violations: this.#invalid,
      });
    }
    const [unsupported, ...more] = this.#unsupported;
    if (unsupported !== undefined) {
      throw new HeadraceError("NOT_SUPPORTED_YET", summary(unsupported.message, more.length), {
        field: unsupported.field,
        violations: this.#unsupported,
      });
    }
  }

  /** The text, noted as invalid when it is longer than `maxChars` or has a NUL, which no database text may. */
  text(field: string, value: string, maxChars: number): string {
    if (value.length > maxChars) {
      const message = `${field} has ${value.length} characters; the limit is ${maxChars}.`;
      this.invalid(field, message, { limit: maxChars, actual: value.length });
    } else if (value.includes("\0")) {
      this.invalid(field, `${field} contains a NUL character.`);
    }
    return value;
  }

  /** As `text`, and must not be empty. */
  requiredText(field: string, value: string, maxChars: number): string {
    if (value === "") this.invalid(field, `${field} is required.`);
    return this.text(field, value, maxChars);
  }

  /** The number, noted as invalid when it is outside the range. */
  range(field: string, value: number, min: number, max: number): number {
    if (!(value >= min && value <= max)) {
      const message = `${field} is ${value}; it must be ${min} to ${max}.`;
      this.invalid(field, message, { limit: value < min ? min : max, actual: value });
    }
    return value;
  }

  /** The count of a list, noted as invalid when it is above the limit. */
  count(field: string, actual: number, limit: number): void {
    if (actual <= limit) return;
    this.invalid(field, `${field} has ${actual} entries; the limit is ${limit}.`, { limit, actual });
  }

  /** The size of a page: 0 takes the default. */
  pageSize(value: number, defaultSize: number, maxSize: number): number {
    if (value === 0) return Math.min(defaultSize, maxSize);
    return this.range("page_size", value, 1, maxSize);
  }

  /** The word of an enum value. A number that this server does not know is invalid, never a default. */
  enumWord<W>(field: string, value: number, words: Readonly<Record<number, W>>): W | undefined {
    const word = words[value];
    if (word === undefined)
      this.invalid(field, `${field} is ${value}, which is no known value.`, { actual: value });
    return word;
  }
}

function summary(first: string, others: number): string {
  if (others === 0) return first;
  return `${first} ${others} more ${others === 1 ? "field is" : "fields are"} refused too.`;
}
