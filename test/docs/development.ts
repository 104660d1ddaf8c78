import { it } from "node:test";
import { withoutPostgres } from "../helpers/postgres.ts";
import { block } from "./blocks.ts";
import { Person } from "./person.ts";

/** The blocks about a developer's own machine. */
export function development(): void {
  it("development.md and databases.md: a project, its origin, and a database", async () => {
    const page = "docs/development.md";
    const own = new Person();
    try {
      own.write({
        "wrangler.json": JSON.stringify({
          name: "local",
          main: "index.js",
          compatibility_date: "2026-11-01",
        }),
        "index.js": "export default { fetch: () => new Response('') };",
        "package.json": '{ "name": "local" }',
      });
      await own.run(block(page, "countersign init").replace("init", "init --yes"));
      const origin = block(page, "countersign dev origin").trim();
      await own.until(`${origin} --port 0 --json`, /"ready":true/);
      const dev = block(page, /^npx countersign dev$/m);
      await own.until(`${dev.trim()} --port 0 --inspector-port 0`, /Ready on/, {
        ends: [0, 143],
      });
      const [first = "", second = ""] = block("README.md", "countersign dev origin")
        .split("\n")
        .map((line) => line.split("#")[0]!);
      await own.until(`${first} --port 0 --json`, /"ready":true/);
      await own.until(`${second} --port 0 --inspector-port 0`, /Ready on/, { ends: [0, 143] });
      const database = block("docs/databases.md", "countersign dev database").trim();
      if (!withoutPostgres) await own.until(`${database} --port 0 --json`, /"ready":true/);
    } finally {
      own[Symbol.dispose]();
    }
  });
}
