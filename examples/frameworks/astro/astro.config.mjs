import cloudflare from "@astrojs/cloudflare";
import { defineConfig } from "astro/config";

// Without images and sessions: they would need bindings that this page does not.
export default defineConfig({
  output: "server",
  adapter: cloudflare({ imageService: "passthrough" }),
});
