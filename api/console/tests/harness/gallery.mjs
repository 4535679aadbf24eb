// Builds the gallery of all shared parts, and serves it under the console's own policy.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { svelte } from "@sveltejs/vite-plugin-svelte";
import { build } from "vite";

const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/** The policy that the service sends: from where it stands in its source. */
function policy() {
  const source = readFileSync(at("../src/console.rs"), "utf8");
  const [, text] = /const POLICY: &str = "([^"]+)"/.exec(source);
  return text.replace(/\\\s+/g, "");
}

export async function serveGallery() {
  const outDir = at("node_modules/.gallery");
  await build({
    configFile: false,
    root: at("gallery"),
    logLevel: "warn",
    plugins: [svelte({ configFile: at("svelte.config.js") })],
    build: { outDir, emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  });
  const headers = { "content-security-policy": policy() };
  const server = createServer((request, response) => {
    const path = request.url === "/" ? "/index.html" : request.url;
    try {
      const body = readFileSync(join(outDir, path));
      response.writeHead(200, { ...headers, "content-type": KINDS[extname(path)] ?? "text/plain" }).end(body);
    } catch {
      response.writeHead(404, headers).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
