import type { ExecutionContext } from "ava";
import type { Execution, Task } from "../../server/gen/headrace/v1/execution_pb.js";
import { ExecutionService } from "../../server/gen/headrace/v1/execution_service_pb.js";
import { WorkerService } from "../../server/gen/headrace/v1/worker_service_pb.js";
import { WorkflowService } from "../../server/gen/headrace/v1/workflow_service_pb.js";
import { GrpcClient } from "./grpc-client.js";

/** The three services of a server, called without the SDK. */
export class Wire {
  readonly workflows: GrpcClient<typeof WorkflowService>;
  readonly executions: GrpcClient<typeof ExecutionService>;
  readonly workers: GrpcClient<typeof WorkerService>;

  private constructor(address: string) {
    this.workflows = new GrpcClient(WorkflowService, address);
    this.executions = new GrpcClient(ExecutionService, address);
    this.workers = new GrpcClient(WorkerService, address);
  }

  /** Closed at the end of the test. */
  static open(t: ExecutionContext, address: string): Wire {
    const wire = new Wire(address);
    t.teardown(() => {
      for (const client of [wire.workflows, wire.executions, wire.workers]) client.close();
    });
    return wire;
  }

  async execution(executionId: string): Promise<Execution> {
    const { execution } = await this.executions.unary("getExecution", { executionId });
    return execution!;
  }

  async task(executionId: string, taskId: string): Promise<Task> {
    const { task } = await this.executions.unary("getTask", { executionId, taskId });
    return task!;
  }
}
