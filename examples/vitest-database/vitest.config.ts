import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { closing, mtls, mtlsDatabase, mtlsOrigin } from "countersign/vitest";
import { defineConfig } from "vitest/config";

export default defineConfig(async () => {
  // The PostgreSQL that is installed here, and a server that is not PostgreSQL.
  const database = await mtlsDatabase();
  const other = await mtlsOrigin();
  const wrong = database.connectionString.replace(`:${database.port}`, `:${other.port}`);
  const bindings = await mtls({
    DB: { database: database.connectionString },
    WRONG: { database: wrong },
  });
  return {
    plugins: [
      cloudflareTest({
        wrangler: { configPath: "./wrangler.jsonc" },
        miniflare: { unsafeBindings: bindings.unsafeBindings },
      }),
      closing(database, other, bindings),
    ],
    test: {
      // pg closes its socket while reading from it, which the runtime reports as an error.
      onUnhandledError: ({ message }) => message !== "This socket has been closed.",
    },
  };
});
