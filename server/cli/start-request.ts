import { Option, type Command } from "commander";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, type Duration } from "@bufbuild/protobuf/wkt";
import { CacheMode } from "../gen/headrace/v1/execution_pb.js";
import {
  ExecutionService,
  type ExecutionStartSchema,
  type StartExecutionResponse,
} from "../gen/headrace/v1/execution_service_pb.js";
import { durationText } from "../config/quantity.js";
import { usageError } from "./cli-error.js";
import type { ClientSession } from "./client-session.js";
import { collect, readInteger, readLabels, readDuration } from "./option-values.js";
import { readJsonPayload } from "./payload.js";

/** Options of the commands that start executions. */
export interface StartOptions {
  readonly input?: string;
  readonly version?: string;
  readonly label?: readonly string[];
  readonly key?: string;
  readonly deadline?: string;
  readonly priority?: string;
  readonly cache?: "use" | "refresh" | "bypass";
}

const CACHE_MODES = { use: CacheMode.USE, refresh: CacheMode.REFRESH, bypass: CacheMode.BYPASS } as const;

/** Gives a command what StartOptions has, and the workflow as its argument. */
export function addStartOptions(command: Command): Command {
  return command
    .argument("<workflow>", "name of the workflow")
    .option("-i, --input <json>", "input as JSON, @file or - for standard input (default: null)")
    .option(
      "--version <version>",
      "version of the workflow, or the first 6 or more digits of it (default: the latest)",
    )
    .option("--label <key=value>", "label of the execution; may be repeated", collect)
    .option("--key <key>", "idempotency key: the same key and request give the same execution")
    .option("--deadline <duration>", "time the execution may take, such as 10m")
    .option("--priority <number>", "added to the priority of each task, -100 to 100")
    .addOption(
      new Option("--cache <mode>", "how results are reused: use or bypass").argParser(readCacheMode),
    );
}

/** Ten years, as the server has it. */
const LONGEST_DEADLINE_MS = 3_650 * 86_400_000;

function readDeadline(value: string | undefined): Duration | undefined {
  if (value === undefined) return undefined;
  const ms = readDuration(value, "--deadline");
  if (ms >= 1 && ms <= LONGEST_DEADLINE_MS) return durationFromMs(ms);
  throw usageError(
    `"${value}" of --deadline is not from 1ms to ${durationText(LONGEST_DEADLINE_MS)}`,
    "correct it, or leave it out for no deadline",
  );
}

/** Refresh is part of the contract, but the server does not support it yet; so it is read and not offered. */
function readCacheMode(value: string): keyof typeof CACHE_MODES {
  if (value === "use" || value === "bypass" || value === "refresh") return value;
  throw usageError(`"${value}" of --cache is no mode`, "write use or bypass");
}

/** Starts an execution as the options say. Throws a CliError when an option is not valid or the server refuses. */
export async function startExecution(
  session: ClientSession,
  workflow: string,
  options: StartOptions,
): Promise<StartExecutionResponse> {
  const { connection, namespace, signal } = session;
  const start = await buildStart(session, workflow, options);
  return connection.unary(ExecutionService.method.startExecution, { namespace, start }, { signal });
}

async function buildStart(
  { cli }: ClientSession,
  workflow: string,
  options: StartOptions,
): Promise<MessageInitShape<typeof ExecutionStartSchema>> {
  const deadline = readDeadline(options.deadline);
  return {
    workflow,
    version: options.version ?? "",
    idempotencyKey: options.key ?? "",
    labels: readLabels(options.label ?? []),
    priority: readInteger(options.priority ?? "0", "--priority", { min: -100, max: 100 }),
    cacheMode: options.cache === undefined ? CacheMode.UNSPECIFIED : CACHE_MODES[options.cache],
    ...(options.input === undefined ? {} : { input: await readJsonPayload(options.input, "--input", cli) }),
    ...(deadline === undefined ? {} : { deadline }),
  };
}
