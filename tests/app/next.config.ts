import type { NextConfig } from "next";

// The stock build; STANDALONE=1 makes the container build beside it, in a folder of its own.
const standalone = process.env.STANDALONE === "1";

const config: NextConfig = {
  output: standalone ? "standalone" : undefined,
  serverExternalPackages: ["ably"],
  distDir: standalone ? ".next-standalone" : ".next",
  redirects: async () => [
    {
      source: "/kept/rule",
      has: [{ type: "cookie", key: "beta" }],
      destination: "/moved",
      permanent: false,
    },
  ],
};

export default config;
