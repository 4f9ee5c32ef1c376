import { median } from "./statistics.js";

/** One number that a scenario found: the median of its rounds. */
export interface Figure {
  /** snake_case, stable: results of different days are compared by it. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/** A figure from what each round measured, all with four significant digits. */
export function figureOf(name: string, unit: string, rounds: readonly number[]): Figure {
  return {
    name,
    value: rounded(median(rounds)),
    unit,
    min: rounded(Math.min(...rounds)),
    max: rounded(Math.max(...rounds)),
    rounds: rounds.length,
  };
}

/** Figures from rounds that measured several things each, by name and unit. */
export function figuresOf<Name extends string>(
  units: Readonly<Record<Name, string>>,
  rounds: ReadonlyArray<Readonly<Record<Name, number>>>,
): Figure[] {
  return (Object.entries(units) as Array<[Name, string]>).map(([name, unit]) =>
    figureOf(
      name,
      unit,
      rounds.map((round) => round[name]),
    ),
  );
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
