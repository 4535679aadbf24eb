// How the console is built: one script, one style sheet, and the favicons, all served as files,
// so that a content security policy of 'self' is enough.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

import { favicons } from "./src/lib/favicon.ts";

const icons: Plugin = {
  name: "bellwire-favicons",
  generateBundle() {
    for (const [fileName, source] of favicons()) {
      this.emitFile({ type: "asset", fileName, source });
    }
  },
};

export default defineConfig({
  plugins: [svelte(), icons],
  build: {
    target: "es2022",
    // light-dark() stays as it is: all of 2024's browsers know it.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // A data: URL would need a wider policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
