import { execFile } from "node:child_process";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { promisify } from "node:util";
import test from "ava";
import fc from "fast-check";
import { ArgumentError, parseArguments } from "../../bench/arguments.js";
import { checkExecutions } from "../../bench/check.js";
import { figureOf } from "../../bench/figure.js";
import { runPaced, runSerially, Saturation } from "../../bench/load.js";
import type { MachineFacts } from "../../bench/machine.js";
import { hottest } from "../../bench/profile.js";
import { figuresText, machineText, ratioText, resultJson } from "../../bench/report.js";
import { runScenario } from "../../bench/run-scenario.js";
import type { Scenario } from "../../bench/scenario.js";
import { SCENARIOS } from "../../bench/scenarios.js";
import { median, percentile } from "../../bench/statistics.js";
import { useDatabase } from "../support/database.js";
import { repositoryRoot } from "../support/source-files.js";

test("a percentile is a value that was measured, by nearest rank", (t) => {
  const values = [30, 10, 20, 50, 40];
  t.is(percentile(values, 0), 10);
  t.is(percentile(values, 0.2), 10);
  t.is(percentile(values, 0.21), 20);
  t.is(percentile(values, 0.5), 30);
  t.is(percentile(values, 0.99), 50);
  t.is(percentile(values, 1), 50);
  t.deepEqual(values, [30, 10, 20, 50, 40], "the values keep their order");
  t.throws(() => percentile([], 0.5), { instanceOf: RangeError });
  t.throws(() => percentile(values, 50), { instanceOf: RangeError, message: /at 50, not 0 to 1/ });
});

test("the median is the middle value, or the mean of two", (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 2, 3]), 2.5);
  t.is(median([7]), 7);
  t.throws(() => median([]), { instanceOf: RangeError });
});

test("at least the asked share of the values is at or below a percentile, and no smaller value has that", (t) => {
  const values = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 40 });
  const property = fc.property(values, fc.integer({ min: 1, max: 100 }), (numbers, percent) => {
    const found = percentile(numbers, percent / 100);
    const upTo = numbers.filter((number) => number <= found).length;
    const below = numbers.filter((number) => number < found).length;
    return upTo * 100 >= percent * numbers.length && below * 100 < percent * numbers.length;
  });
  t.notThrows(() => fc.assert(property));
});

test("a figure is the median of the rounds, with their range, to four digits", (t) => {
  t.deepEqual(figureOf("a_per_s", "1/s", [12_345.6, 9_000, 20_000]), {
    name: "a_per_s",
    value: 12_350,
    unit: "1/s",
    min: 9_000,
    max: 20_000,
    rounds: 3,
  });
});

const machine: MachineFacts = {
  date: "2025-01-01T00:00:00.000Z",
  cores: 2,
  cpu: "a processor",
  memoryGiB: 8,
  platform: "linux-x64",
  node: "20.19.0",
  postgres: "18.4",
};

function scenario(name: string, run: Scenario["run"] = async () => []): Scenario {
  return { name, summary: `what ${name} measures`, run };
}

const results = [
  { scenario: scenario("floor"), figures: [figureOf("pg_floor_per_s", "1/s", [20_000])], othersCpu: 0.02 },
  {
    scenario: scenario("single"),
    figures: [figureOf("single_per_s", "1/s", [9_000, 10_000, 12_000])],
    othersCpu: 0.5,
  },
];

test("the JSON has each figure under its name, with its unit, and the machine", (t) => {
  t.deepEqual(JSON.parse(resultJson(results, machine, "quick")), {
    size: "quick",
    machine,
    othersCpu: { floor: 0.02, single: 0.5 },
    figures: {
      pg_floor_per_s: { value: 20_000, unit: "1/s", min: 20_000, max: 20_000, rounds: 1 },
      single_per_s: { value: 10_000, unit: "1/s", min: 9_000, max: 12_000, rounds: 3 },
    },
  });
});

test("the report names the median, the range, the ratio to the floor, and who else used the machine", (t) => {
  t.is(
    figuresText(results[1]!),
    "\nsingle: what single measures\n  single_per_s  10,000  1/s  9,000 to 12,000 in 3 rounds\n" +
      "  Other programs used 0.5 cores meanwhile: the figures are worse than on an idle machine.\n",
  );
  t.is(figuresText(results[0]!), "\nfloor: what floor measures\n  pg_floor_per_s  20,000  1/s\n");
  t.is(ratioText(results), "\nsingle_per_s is 50 % of pg_floor_per_s\n");
  t.is(ratioText(results.slice(1)), "");
  t.regex(
    machineText(machine),
    /^2 cores \(a processor\), 8 GiB, linux-x64, Node\.js 20\.19\.0, PostgreSQL 18\.4$/m,
  );
});

const known = [scenario("single"), scenario("latency")];

test("arguments: all scenarios by default, else those named, in their own order", (t) => {
  t.deepEqual(parseArguments([], known), {
    scenarios: known,
    size: "full",
    jsonFile: undefined,
    profileDir: undefined,
    show: undefined,
  });
  const parsed = parseArguments(["latency", "--quick", "--json", "a.json", "single", "--profile=p=1"], known);
  t.deepEqual(parsed, {
    scenarios: known,
    size: "quick",
    jsonFile: "a.json",
    profileDir: "p=1",
    show: undefined,
  });
  t.deepEqual(parseArguments(["latency"], known).scenarios, [known[1]]);
  t.is(parseArguments(["--scenarios"], known).show, "scenarios");
});

const mistakes: [args: string[], message: RegExp][] = [
  [["singel"], /no scenario "singel"\. Did you mean single\? Scenarios: single, latency\./],
  [["xyz"], /no scenario "xyz"\. Scenarios/],
  [["--jsno", "a.json"], /no option --jsno\. Did you mean --json\?/],
  [["--json"], /--json needs a path/],
  [["--json", "--quick"], /--json needs a path/],
  [["--quick=yes"], /--quick takes no value: --quick=yes/],
];
for (const [args, message] of mistakes) {
  test(`arguments refuse: ${args.join(" ")}`, (t) => {
    t.throws(() => parseArguments(args, known), { instanceOf: ArgumentError, message });
  });
}

test("the program lists its scenarios, and answers a mistake with exit code 2", async (t) => {
  const run = promisify(execFile);
  const program = join(repositoryRoot, "dist/bench/main.js");
  const { stdout } = await run(process.execPath, [program, "--scenarios"]);
  for (const { name } of SCENARIOS) t.regex(stdout, new RegExp(`^ +${name} `, "m"));
  const failure = await t.throwsAsync(run(process.execPath, [program, "latenzy"]), {
    message: /Did you mean latency\?/,
  });
  t.like(failure, { code: 2 });
});

test("an open loop counts the wait of starts that were held up", async (t) => {
  const runOne = async (n: number): Promise<void> => {
    const untilMs = performance.now() + (n === 1 ? 80 : 0);
    while (performance.now() < untilMs);
  };
  const times = await runPaced(runOne, { perSecond: 100, warmUp: 1, count: 4 });
  t.is(times.length, 4, "the warm-up is not counted");
  // The first holds everything up for 80 ms; the next ones were due 10, 20 and 30 ms after it.
  t.true(times[1]! >= 69, `${times[1]} ms`);
  t.true(times[3]! >= 49, `${times[3]} ms`);
});

test("a wrong result ends an open loop, a serial run and a saturation", async (t) => {
  const runOne = async (n: number): Promise<void> => {
    if (n === 3) throw new Error("3 gave 4");
  };
  await t.throwsAsync(runPaced(runOne, { perSecond: 1_000, warmUp: 0, count: 100 }), { message: "3 gave 4" });
  await t.throwsAsync(runSerially(runOne, 10), { message: "3 gave 4" });
  const saturation = new Saturation(runOne, 5);
  await t.throwsAsync(saturation.stop(), { message: "3 gave 4" });
  await t.throwsAsync(saturation.mark(), { message: "3 gave 4" });
});

test("a saturation keeps its number in flight and waits for what it started", async (t) => {
  let inFlight = 0;
  let most = 0;
  let ended = 0;
  let reached: () => void = () => undefined;
  const twenty = new Promise<void>((resolve) => (reached = resolve));
  const saturation = new Saturation(async () => {
    most = Math.max(most, ++inFlight);
    await new Promise((resolve) => setImmediate(resolve));
    inFlight--;
    if (++ended === 20) reached();
  }, 5);
  await twenty;
  t.true((await saturation.mark()).done >= 15);
  t.is(await saturation.stop(), ended);
  t.is(inFlight, 0);
  t.is(most, 5);
});

test("a scenario's resources are closed last first, when it ends, fails or is interrupted", async (t) => {
  const closed: string[] = [];
  const opening =
    (end: () => Promise<never[]>): Scenario["run"] =>
    async ({ cleanUp }) => {
      for (const name of ["database", "server"]) cleanUp.add(async () => void closed.push(name));
      return end();
    };
  const options = { size: "tiny", profileDir: undefined, note: () => undefined } as const;
  const never = new AbortController().signal;
  const ends = scenario(
    "a",
    opening(async () => []),
  );
  t.like(await runScenario(ends, options, never), { scenario: ends, figures: [] });
  const fails = opening(() => Promise.reject(new Error("wrong output")));
  await t.throwsAsync(runScenario(scenario("b", fails), options, never), { message: "wrong output" });
  t.deepEqual(closed, ["server", "database", "server", "database"]);
  // What is interrupted ends only because its processes do.
  let fail: (error: Error) => void = () => undefined;
  const hangs: Scenario["run"] = ({ cleanUp }) => {
    cleanUp.add(async () => fail(new Error("the process is gone")));
    return new Promise((_, reject) => (fail = reject));
  };
  const interrupt = AbortSignal.abort(new Error("interrupted"));
  await t.throwsAsync(runScenario(scenario("c", hangs), options, interrupt), { message: "interrupted" });
});

test("a scenario whose executions are missing, or ran twice, is wrong", async (t) => {
  const { config } = await useDatabase(t);
  const database = { config, pid: 0 };
  await t.notThrowsAsync(checkExecutions(database, { executions: 0, tasksEach: 1 }));
  await t.throwsAsync(checkExecutions(database, { executions: 2, tasksEach: 3 }), {
    message: /executions: 0 instead of 2, completed: 0 instead of 2, tasks: 0 instead of 6/,
  });
});

test("a profile's functions are listed by their own time; waiting is left out", (t) => {
  const frame = (
    functionName: string,
    url = "node:net",
  ): Parameters<typeof hottest>[0]["nodes"][0]["callFrame"] => ({
    functionName,
    url,
    lineNumber: 9,
    columnNumber: 0,
  });
  const profile = {
    nodes: [
      { id: 1, callFrame: frame("(idle)", "") },
      { id: 2, callFrame: frame("read") },
      { id: 3, callFrame: frame("", "") },
      { id: 4, callFrame: frame("read") },
    ],
    samples: [1, 2, 3, 4],
    timeDeltas: [1_000, 100, 50, 50],
  };
  t.deepEqual(hottest(profile), [
    { name: "read", place: "node:net:10", share: 0.75 },
    { name: "(anonymous)", place: "(native)", share: 0.25 },
  ]);
});
