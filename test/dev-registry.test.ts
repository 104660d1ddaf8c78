import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { makeProject, spawnProgram, type TestProject } from "./helpers/dev-project.ts";
import { program } from "./helpers/program.ts";
import { until } from "./helpers/until.ts";

const wrangler = join(
  dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
  "bin/wrangler.js",
);

test("countersign dev and plain wrangler dev find each other's Workers, without a variable", async () => {
  await using shop = await calls("shop", "prices");
  await using prices = await calls("prices", "shop");
  // A home folder of its own, in which both look; no variable names the registry.
  const env = {
    HOME: shop.folder,
    XDG_CONFIG_HOME: shop.folder,
    WRANGLER_SEND_METRICS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
  };
  const start = (project: typeof shop, tool: string): ReturnType<typeof spawnProgram> => {
    const command = [process.execPath, tool, "dev", "--port", "0", "--inspector-port", "0"];
    const args = ["-u", "WRANGLER_REGISTRY_PATH", ...command];
    return spawnProgram("env", args, project.folder, env);
  };
  await using plain = start(prices, wrangler);
  const [, plainUrl = ""] = await plain.says(/Ready on (http\S+)/);
  await using dev = start(shop, program);
  const [, devUrl = ""] = await dev.says(/Ready on (http\S+)/);
  await until(() => says(devUrl, "I am prices"));
  await until(() => says(plainUrl, "I am shop"));
});

function calls(name: string, other: string): Promise<TestProject> {
  return makeProject({
    "wrangler.json": JSON.stringify({
      name,
      main: "index.js",
      compatibility_date: "2025-11-17",
      services: [{ binding: "OTHER", service: other }],
    }),
    "index.js": `export default { fetch: (request, env) => new URL(request.url).pathname === "/other"
      ? env.OTHER.fetch("http://other/") : new Response("I am ${name}") };`,
  });
}

async function says(url: string, what: string): Promise<boolean> {
  return (await (await fetch(`${url}/other`)).text()) === what;
}
