import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { closing, mtls, mtlsOrigin, originControl } from "countersign/vitest";
import { defineConfig } from "vitest/config";

export default defineConfig(async () => {
  const bank = await mtlsOrigin({ names: ["bank.example"] });
  const bindings = await mtls({ BANK_CERT: {} }, { hosts: { "bank.example": bank } });
  return {
    plugins: [
      cloudflareTest({
        wrangler: { configPath: "./wrangler.jsonc" },
        miniflare: { serviceBindings: { ...bindings.serviceBindings, ...originControl(bank) } },
      }),
      closing(bank, bindings),
    ],
  };
});
