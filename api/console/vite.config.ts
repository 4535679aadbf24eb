// How the console is built: two scripts and one style sheet, served as files, so that a content
// security policy of 'self' is enough.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

import { lean } from "./lean.ts";
import { pack } from "./pack.ts";

export default defineConfig({
  plugins: [svelte(), lean, pack],
  build: {
    target: "es2022",
    // light-dark() stays as it is: all of 2024's browsers know it.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // A data: URL would need a wider policy.
    assetsInlineLimit: 0,
    modulePreload: false,
    // One style sheet compresses to two thirds of many.
    cssCodeSplit: false,
    // Large files compress better: what the list of alerts needs, which is what most open, and all the rest.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "first", test: /src.(main\.ts|pages.AlertsPage)/ }] } },
    },
  },
  test: { include: ["src/**/*.test.ts", "*.test.ts"], environment: "node" },
});
