import node from "@astrojs/node";
import { defineConfig } from "astro/config";

export default defineConfig({
  output: "server",
  adapter: node({ mode: "standalone" }),
  // Whom it believes the host that the door says. Without it every form over https is "cross-site".
  security: { allowedDomains: [{ hostname: "localhost" }] },
});
