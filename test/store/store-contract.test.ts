import test from "ava";
import { openStores } from "../../server/store/open-stores.js";
import { availablePostgres, useDatabase } from "../support/database.js";
import { CONTRACT } from "./store-contract.js";
import { LEASE_CONTRACT } from "./store-contract-leases.js";

const VERSIONS = ["18", "15"] as const;

for (const version of VERSIONS) {
  for (const [title, check] of Object.entries({ ...CONTRACT, ...LEASE_CONTRACT })) {
    if (!availablePostgres().includes(version)) {
      test.skip(`PostgreSQL ${version}, which is not installed: ${title}`, () => undefined);
      continue;
    }
    test(`PostgreSQL ${version}: ${title}`, async (t) => {
      const database = await useDatabase(t, { version });
      const config = { ...database.config, poolMax: 2 };
      const stores = openStores(config, { lanes: 2, notify: false, log: () => undefined });
      t.teardown(() => stores.close());
      await check(t, { stores, database });
    });
  }
}
