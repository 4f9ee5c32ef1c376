import type { Ref } from "@headrace/sdk";
import { connect, task, workflow } from "@headrace/sdk";

interface Page {
  readonly url: string;
}

const fetchPage = task("fetch-page", async ({ url }: Page) => ({ url, words: url.length * 100 }));
const sum = task("sum", (pages: ReadonlyArray<{ words: number }>) =>
  pages.reduce((total, page) => total + page.words, 0),
);

// The three fetches have no refs of one another, so they run side by side; the sum waits for all.
const count = workflow("count-words", (site: Ref<{ first: Page; second: Page; third: Page }>) => ({
  total: sum([fetchPage(site.first), fetchPage(site.second), fetchPage(site.third)]),
}));

await using headrace = await connect();
await headrace.serve(count);

const site = { first: { url: "/a" }, second: { url: "/bb" }, third: { url: "/ccc" } };
console.log(await headrace.run(count, site));

// Many executions at once travel on one stream, in batches.
const handles = await headrace.startMany(
  count,
  Array.from({ length: 100 }, () => site),
);
const results = await Promise.all(handles.map((handle) => handle.result()));
console.log(`${results.length} more, each with a total of ${results[0]?.total ?? 0}`);
