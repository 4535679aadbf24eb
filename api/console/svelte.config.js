import { readdirSync } from "node:fs";
import { relative } from "node:path";

import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

// The class that keeps a component's styles to it is two characters, its place in the list of
// components: each stands in the style sheet and in the script very often. No other class has capitals.
const components = ["src", "gallery"].flatMap((root) =>
  readdirSync(root, { recursive: true })
    .filter((file) => file.endsWith(".svelte"))
    .map((file) => `${root}/${file}`.replaceAll("\\", "/"))
    .sort(),
);
const cssHash = ({ hash, filename }) => {
  const place = components.indexOf(relative(".", filename).replaceAll("\\", "/"));
  // What is only checked has another name.
  if (place < 0) return hash(filename);
  return String.fromCharCode(65 + Math.floor(place / 36)) + (place % 36).toString(36);
};

export default { preprocess: vitePreprocess(), compilerOptions: { runes: true, discloseVersion: false, cssHash } };
