import type { StatementRow } from "./database.js";
import type { MachineFacts } from "./machine.js";
import type { ScenarioResult } from "./run-scenario.js";
import type { Scenario, Size } from "./scenario.js";

/** With more of the machine in use by others, what was measured says little. */
const DISTURBING_CORES = 0.1;

/** Everything as one JSON document: figures by name, and what they were measured on. */
export function resultJson(results: readonly ScenarioResult[], machine: MachineFacts, size: Size): string {
  const figures = Object.fromEntries(
    results.flatMap(({ figures }) => figures).map(({ name, ...facts }) => [name, facts]),
  );
  const othersCpu = Object.fromEntries(results.map(({ scenario, othersCpu }) => [scenario.name, othersCpu]));
  return `${JSON.stringify({ size, machine, othersCpu, figures }, null, 2)}\n`;
}

/** What the figures were measured on, for people. */
export function machineText({ cores, cpu, memoryGiB, platform, node, postgres }: MachineFacts): string {
  return `${cores} cores (${cpu}), ${memoryGiB} GiB, ${platform}, Node.js ${node}, PostgreSQL ${postgres}\n`;
}

/** One line for each figure: its median, and from where to where the rounds reached. */
export function figuresText({ scenario, figures, othersCpu }: ScenarioResult): string {
  const rows = figures.map((figure) => [
    figure.name,
    amount(figure.value),
    figure.unit,
    figure.rounds === 1 ? "" : `${amount(figure.min)} to ${amount(figure.max)} in ${figure.rounds} rounds`,
  ]);
  const warning =
    othersCpu !== undefined && othersCpu > DISTURBING_CORES
      ? `  Other programs used ${amount(othersCpu)} cores meanwhile: the figures are worse than on an idle machine.\n`
      : "";
  return `\n${scenario.name}: ${scenario.summary}\n${aligned(rows)}${warning}`;
}

/** How near `single` comes to what PostgreSQL alone gives, when both were measured. */
export function ratioText(results: readonly ScenarioResult[]): string {
  const valueOf = (name: string): number | undefined =>
    results.flatMap(({ figures }) => figures).find((figure) => figure.name === name)?.value;
  const [single, floor] = [valueOf("single_per_s"), valueOf("pg_floor_per_s")];
  if (single === undefined || floor === undefined) return "";
  return `\nsingle_per_s is ${Math.round((100 * single) / floor)} % of pg_floor_per_s\n`;
}

/** The list of scenarios. */
export function scenariosText(scenarios: readonly Scenario[]): string {
  return aligned(scenarios.map(({ name, summary }) => [name, summary]));
}

/** What each SQL statement cost. */
export function statementsText(statements: readonly StatementRow[]): string {
  const head = ["calls", "rows", "exec ms", "plan ms", "µs/row", "WAL MB", "statement"];
  const rows = statements.map(({ statement, ...costs }) => [...Object.values(costs).map(amount), statement]);
  return `\nPostgreSQL\n${aligned([head, ...rows])}`;
}

/** Columns side by side. A column whose last cell is an amount ends at one place. */
function aligned(rows: ReadonlyArray<readonly string[]>): string {
  const columns = (rows.at(-1) ?? []).map((last, column) => ({
    width: Math.max(...rows.map((row) => row[column]?.length ?? 0)),
    isAmount: /^[\d,.]+$/.test(last),
  }));
  const lines = rows.map((row) =>
    columns
      .map(({ width, isAmount }, column) => {
        const cell = row[column] ?? "";
        return isAmount ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  "),
  );
  return lines.map((line) => `  ${line.trimEnd()}\n`).join("");
}

function amount(value: number): string {
  return value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
}
