import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { closing, mtls, mtlsOrigin } from "countersign/vitest";
import { defineConfig } from "vitest/config";

export default defineConfig(async () => {
  const origin = await mtlsOrigin({ names: ["origin.example"] });
  const bindings = await mtls({ ONE: {}, TWO: {} }, { hosts: { "origin.example": origin } });
  return {
    plugins: [
      cloudflareTest({
        wrangler: { configPath: "./wrangler.jsonc" },
        miniflare: { serviceBindings: bindings.serviceBindings },
      }),
      closing(origin, bindings),
    ],
  };
});
