import { cloudflare } from "@cloudflare/vite-plugin";
import react from "@vitejs/plugin-react";
import { countersign } from "countersign/vite";
import { defineConfig } from "vite";

const mtls = countersign();

export default defineConfig({
  plugins: [react(), mtls, cloudflare({ config: mtls.workerConfig })],
});
