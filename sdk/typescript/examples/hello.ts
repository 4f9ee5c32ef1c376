import type { Ref } from "@headrace/sdk";
import { connect, task, workflow } from "@headrace/sdk";

const charge = task("charge", async (o: { amount: number }) => ({ id: `ch_${o.amount}` }));
const email = task("email", async (c: { id: string }) => `sent ${c.id}`);
const order = workflow("order", (o: Ref<{ amount: number }>) => email(charge(o)));

await using headrace = await connect();
await headrace.serve(order);
console.log(await headrace.run(order, { amount: 5 }));
