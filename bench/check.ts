import { readRows, type BenchDatabase } from "./database.js";

/** What the database must say after a scenario. */
export interface Expected {
  readonly executions: number;
  readonly tasksEach: number;
}

const COUNTS = `
  select
    (select count(*) from executions)::float8 as executions,
    (select count(*) from executions where status = 'COMPLETED' and output is not null)::float8 as completed,
    (select count(*) from tasks)::float8 as tasks,
    (select count(*) from tasks where status = 'COMPLETED' and output is not null)::float8 as completed_tasks,
    (select count(*) from tasks where attempt <> 1 or crashes <> 0 or lease <> 1)::float8 as repeated,
    (select count(*) from attempts)::float8 as superseded`;

type Counts = Record<
  "executions" | "completed" | "tasks" | "completed_tasks" | "repeated" | "superseded",
  number
>;

/**
 * Rejects unless exactly these executions exist, all of them and all of their tasks COMPLETED with
 * an output, and every task was handed out once.
 */
export async function checkExecutions(database: BenchDatabase, expected: Expected): Promise<void> {
  const [found] = await readRows<Counts>(database.config, COUNTS);
  if (found === undefined) throw new Error("The database answered no counts");
  const tasks = expected.executions * expected.tasksEach;
  const wanted: Counts = {
    executions: expected.executions,
    completed: expected.executions,
    tasks,
    completed_tasks: tasks,
    repeated: 0,
    superseded: 0,
  };
  const wrong = (Object.keys(wanted) as Array<keyof Counts>)
    .filter((name) => found[name] !== wanted[name])
    .map((name) => `${name}: ${found[name]} instead of ${wanted[name]}`);
  if (wrong.length > 0) throw new Error(`The results are not right: ${wrong.join(", ")}`);
}
