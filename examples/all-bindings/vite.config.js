import { cloudflare } from "@cloudflare/vite-plugin";
import { countersign } from "countersign/vite";
import { defineConfig } from "vite";

const mtls = countersign({
  certificates: { TWO: { cert: "two.pem" } },
});
export default defineConfig({ plugins: [mtls, cloudflare({ config: mtls.workerConfig })] });
