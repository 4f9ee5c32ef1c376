import { isWorkflow, requireInputs, requireServables, requireWorkflow } from "./check-arguments.js";
import type { Connection } from "./connection.js";
import { HeadraceError, StartManyError } from "./errors.js";
import { resultOf } from "./execution.js";
import type { Execution } from "./execution.js";
import { ExecutionHandle } from "./execution-handle.js";
import type { CancelOptions, ExecutionUpdate, ListOptions, PushedEnd, WatchOptions } from "./executions.js";
import { Executions } from "./executions.js";
import type { ExecutionStart } from "./gen/headrace/v1/execution_service_pb.js";
import { ExecutionService } from "./gen/headrace/v1/execution_service_pb.js";
import { WorkflowService } from "./gen/headrace/v1/workflow_service_pb.js";
import { keptEnd } from "./kept-end.js";
import type { LocalServer } from "./local-server.js";
import { onStopSignal } from "./signals.js";
import type { RunOptions, StartManyOptions, StartOptions } from "./start-options.js";
import { executionStart } from "./start-options.js";
import type { StartAnswers, Started } from "./start-stream.js";
import { StartStream } from "./start-stream.js";
import type { TaskDefinition } from "./task-options.js";
import { deadlineOf, within } from "./wait.js";
import type { ServeOptions } from "./worker.js";
import { Worker } from "./worker.js";
import type { Workflow, WorkflowDefinition } from "./workflow.js";

/** A stored version of a workflow. */
export interface StoredWorkflow {
  readonly name: string;
  readonly version: string;
  /** False when this content was stored before. */
  readonly created: boolean;
}

/** A workflow as it was defined here, or the name of one that is stored. */
export type WorkflowLike<In, Out> = Workflow<In, Out> | string;

/** What a worker serves: tasks, and workflows with the tasks that they use. */
export type Servable = TaskDefinition | WorkflowDefinition;

/** What a client is made from. */
export interface ClientSource {
  readonly connection: Connection;
  readonly namespace: string;
  readonly warn: (message: string) => void;
  /** The server that was started for this client, if one was. */
  readonly localServer?: LocalServer;
}

/** A larger start goes alone: on the shared stream one that the server refuses would end it for all. */
const STREAMED_BYTES = 256 * 1024;

/** A connection to a server, in one namespace. */
export class Client implements AsyncDisposable {
  readonly namespace: string;
  readonly #source: ClientSource;
  readonly #connection: Connection;
  readonly #executions: Executions;
  readonly #starts: StartStream;
  /** Apart from the others, which shall not wait because thousands of ends are open. */
  readonly #manyStarts: StartStream;
  readonly #puts = new Map<string, Promise<StoredWorkflow>>();
  readonly #workers = new Set<Worker>();
  readonly #forgetSignals: () => void;
  #closing: Promise<void> | undefined;

  constructor(source: ClientSource) {
    this.namespace = source.namespace;
    this.#source = source;
    this.#connection = source.connection;
    this.#executions = new Executions(source.connection, source.namespace);
    this.#starts = new StartStream(source.connection, source.namespace);
    this.#manyStarts = new StartStream(source.connection, source.namespace);
    // A server of our own ends with the program, after the workers that still report to it.
    this.#forgetSignals =
      source.localServer === undefined ? () => undefined : onStopSignal(() => this.close());
  }

  /** host:port of the server. */
  get address(): string {
    return this.#connection.address;
  }

  /** Stores a version of a workflow and makes it the latest. Idempotent by content. */
  async put(workflow: WorkflowDefinition): Promise<StoredWorkflow> {
    requireWorkflow(workflow);
    const request = { namespace: this.namespace, spec: workflow.spec };
    const { name, version, created } = await this.#connection.unary(
      WorkflowService.method.putWorkflow,
      request,
    );
    return { name, version, created };
  }

  /**
   * Starts an execution; resolved means committed. A workflow that was defined here is put first,
   * once for this client, and started in exactly that version.
   */
  async start<In, Out>(
    workflow: WorkflowLike<In, Out>,
    input: NoInfer<In>,
    options: StartOptions = {},
  ): Promise<ExecutionHandle<Out>> {
    const version = await this.#versionOf(workflow, options);
    const start = executionStart(nameOf(workflow), version, input, options);
    return this.#handle(start, await this.#send(start, false).started);
  }

  /**
   * Starts an execution for each input, batched on one stream. Rejects with StartManyError, which has
   * the handles of the others, when some were refused. The server pushes the ends of up to 10,000 of them
   * at a time to their handles, unless `wait` is false; the others ask when their result is wanted.
   */
  async startMany<In, Out>(
    workflow: WorkflowLike<In, Out>,
    inputs: Iterable<NoInfer<In>>,
    options: StartManyOptions = {},
  ): Promise<Array<ExecutionHandle<Out>>> {
    const { wait = true, ...startOptions } = options;
    requireInputs(inputs);
    const version = await this.#versionOf(workflow, options);
    // What is wrong with the options is told before anything starts.
    executionStart(nameOf(workflow), version, undefined, startOptions);
    const started: Array<Promise<ExecutionHandle<Out>>> = [];
    for (const input of inputs) {
      await this.#manyStarts.room();
      const path = `inputs[${started.length}]`;
      const startOf = (): ExecutionStart =>
        executionStart(nameOf(workflow), version, input, startOptions, path);
      const starting = this.#startOneOfMany<Out>(startOf, wait);
      // The refusal is read below, when all have been given to the stream.
      starting.catch(() => undefined);
      started.push(starting);
    }
    const errors = new Map<number, unknown>();
    const handles = (await Promise.allSettled(started)).map((each, i) => {
      if (each.status === "fulfilled") return each.value;
      errors.set(i, each.reason);
      return undefined;
    });
    if (errors.size > 0) throw new StartManyError(handles, errors);
    return handles.filter((handle) => handle !== undefined);
  }

  /** Starts an execution and waits for its output. Rejects with ExecutionFailedError when it did not complete. */
  async run<In, Out>(workflow: WorkflowLike<In, Out>, input: In, options: RunOptions = {}): Promise<Out> {
    const { timeout, signal, ...startOptions } = options;
    const deadline = deadlineOf(timeout);
    signal?.throwIfAborted();
    const version = await this.#versionOf(workflow, startOptions);
    const start = executionStart(nameOf(workflow), version, input, startOptions);
    const { started, ended } = this.#send(start, true);
    const { executionId } = await started;
    const end = await within(ended, { executionId, deadline, signal });
    // Without an end the stream broke meanwhile. Asking again could start anew what was removed since.
    const output = end === undefined ? this.#executions.wait(executionId, deadline, signal) : resultOf(end);
    return (await output) as Out;
  }

  /** An execution with its input and output. */
  get(executionId: string): Promise<Execution> {
    return this.#executions.get(executionId);
  }

  /** Executions that match, newest first, without payloads. Fetches further pages as they are needed. */
  list(options: ListOptions = {}): AsyncGenerator<Execution, void, undefined> {
    return this.#executions.list(options);
  }

  /** The state of an execution now and each change until its end; survives broken connections. */
  watch(executionId: string, options: WatchOptions = {}): AsyncGenerator<ExecutionUpdate, void, undefined> {
    return this.#executions.watch(executionId, options);
  }

  /** Asks an execution to end. Answers false when it had ended, or was being cancelled, before. */
  cancel(executionId: string, options: CancelOptions = {}): Promise<boolean> {
    return this.#executions.cancel(executionId, options);
  }

  /** Puts the workflows and serves the tasks until the worker is closed. Resolves when the server knows it. */
  async serve(what: Servable | readonly Servable[], options: ServeOptions = {}): Promise<Worker> {
    const servables = requireServables(what);
    const workflows = servables.filter(isWorkflow);
    await Promise.all(workflows.map((workflow) => this.#stored(workflow)));
    const { connection, namespace, warn } = this.#source;
    const tasks = servables.flatMap((each) => (isWorkflow(each) ? each.tasks : [each]));
    const worker = await Worker.start(
      { connection, namespace, warn, tasks, queues: [...new Set(servables.flatMap(queuesOf))] },
      options,
    );
    this.#workers.add(worker);
    return worker;
  }

  /** Closes its workers, then the connection, then the local server if it started one. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.close()));
    this.#starts.close();
    this.#manyStarts.close();
    this.#connection.close();
    await this.#source.localServer?.stop();
    this.#forgetSignals();
  }

  /** An input that cannot be written rejects as a start that the server refuses does: the others go on. */
  async #startOneOfMany<Out>(startOf: () => ExecutionStart, wait: boolean): Promise<ExecutionHandle<Out>> {
    const start = startOf();
    const isPushed = wait && this.#manyStarts.canWait;
    const answers = this.#send(start, isPushed, this.#manyStarts);
    const pushed = isPushed ? answers.ended.then(keptEnd) : undefined;
    return this.#handle<Out>(start, await answers.started, pushed);
  }

  #send(start: ExecutionStart, wait: boolean, stream = this.#starts): StartAnswers {
    if ((start.input?.data.length ?? 0) <= STREAMED_BYTES) return stream.start(start, wait);
    return { started: this.#startAlone(start), ended: Promise.resolve(undefined) };
  }

  #startAlone(start: ExecutionStart): Promise<Started> {
    return this.#connection.unary(ExecutionService.method.startExecution, {
      namespace: this.namespace,
      start,
    });
  }

  #handle<Out>(start: ExecutionStart, result: Started, pushed?: PushedEnd): ExecutionHandle<Out> {
    return new ExecutionHandle(this.#executions, { ...result, workflow: start.workflow }, pushed);
  }

  async #versionOf(workflow: WorkflowDefinition | string, options: StartOptions): Promise<string> {
    if (typeof workflow === "string") return options.version ?? "";
    requireWorkflow(workflow);
    if (options.version !== undefined) {
      throw new HeadraceError("INVALID_OPTION", "A version was given for a workflow that is defined here", {
        field: "version",
        remedy: `Start it by its name to choose a version: "${workflow.name}".`,
      });
    }
    return (await this.#stored(workflow)).version;
  }

  #stored(workflow: WorkflowDefinition): Promise<StoredWorkflow> {
    const key = workflow.contentKey;
    let stored = this.#puts.get(key);
    if (stored === undefined) {
      stored = this.put(workflow);
      this.#puts.set(key, stored);
      // One that failed is tried again by the next call; this one's caller sees the error.
      stored.catch(() => this.#puts.delete(key));
    }
    return stored;
  }
}

function nameOf(workflow: WorkflowDefinition | string): string {
  return typeof workflow === "string" ? workflow : workflow.name;
}

/** Queues that a workflow, or a task served by itself, waits in. */
function queuesOf(servable: Servable): string[] {
  if (!isWorkflow(servable)) return [servable.options.queue ?? "default"];
  return servable.spec.tasks.map((node) => (node.queue === "" ? "default" : node.queue));
}
