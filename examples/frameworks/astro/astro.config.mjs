import cloudflare from "@astrojs/cloudflare";
import { defineConfig } from "astro/config";

// Without images and sessions, which would need bindings that this page does not have.
export default defineConfig({
  output: "server",
  adapter: cloudflare({ imageService: "passthrough" }),
});
