// Asks the server in this container by the standard gRPC health check; exit code 0 means that it serves.
import { Client, credentials } from "@grpc/grpc-js";

const TIMEOUT_MS = 2_000;
/** HealthCheckResponse { status: SERVING } as protobuf. */
const SERVING = Buffer.from([0x08, 0x01]);

const port = process.env.HEADRACE_PORT || "7400";
const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
const bytes = (value) => value;

client.makeUnaryRequest(
  "/grpc.health.v1.Health/Check",
  bytes,
  bytes,
  Buffer.alloc(0),
  { deadline: Date.now() + TIMEOUT_MS },
  (error, answer) => {
    if (error) process.stderr.write(`${error.message}\n`);
    else if (!SERVING.equals(answer)) process.stderr.write("The server does not serve now.\n");
    process.exitCode = !error && SERVING.equals(answer) ? 0 : 1;
    client.close();
  },
);
