// One worker process. Start as many as you like, on as many machines: HEADRACE_ADDRESS=host:port node worker.js
import { connect } from "@headrace/sdk";

import { census } from "./census.js";

const headrace = await connect();
await headrace.serve(census, { name: process.argv[2] ?? "census", concurrency: 2, drainTimeout: "5s" });
// SIGTERM and SIGINT finish what runs and leave. The run program also hears that this worker serves,
// and when it is gone, so is the worker.
process.send?.("serving");
process.once("disconnect", () => void headrace.close());
