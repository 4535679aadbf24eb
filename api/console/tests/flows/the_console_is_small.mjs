// All that the console is made of, as it is sent, and the part of it that a cold alerts page fetches.
import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";

// All of it may have 150 KB, and the first page 75; that it has less stays so.
const ALL_BYTES_MAX = 150_000;
const FIRST_BYTES_MAX = 64_000;

export const settings = { open: true, fleet: false };

function sizes() {
  const dist = new URL("../../dist/", import.meta.url);
  const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((it) => it.isFile() && it.name.endsWith(".gz"));
  return new Map(
    files.map(({ parentPath, path, name }) => {
      const file = `${parentPath ?? path}/${name}`.replace(/\/+/g, "/");
      return [file.slice(file.indexOf("/dist/") + 5, -".gz".length), statSync(file).size];
    }),
  );
}

export default async function ({ open, url, live }) {
  const all = sizes();
  const total = [...all.values()].reduce((sum, bytes) => sum + bytes, 0);
  const { page, close } = await open();
  const fetched = new Set(["/index.html"]);
  const wrong = [];
  page.on("response", async (response) => {
    const { pathname } = new URL(response.url());
    if (!all.has(pathname)) return;
    fetched.add(pathname);
    const { "cache-control": cache, "content-encoding": coding } = response.headers();
    if (coding !== "gzip") wrong.push(`${pathname}: ${coding}`);
    if (pathname.startsWith("/assets/") !== cache.includes("immutable")) wrong.push(`${pathname}: ${cache}`);
  });
  await page.goto(url);
  await live(page);
  await page.getByRole("heading", { name: "Alerts" }).waitFor({ state: "attached" });
  await page.waitForLoadState("networkidle", { timeout: 2000 }).catch(() => undefined);
  const first = [...fetched].reduce((sum, path) => sum + all.get(path), 0);
  const kb = (bytes) => `${(bytes / 1000).toFixed(1)} KB`;
  console.log(`  all ${kb(total)} gzipped in ${all.size} files; a cold alerts page ${kb(first)} in ${fetched.size}`);
  assert.ok(total <= ALL_BYTES_MAX, `all assets have ${kb(total)}, at most ${kb(ALL_BYTES_MAX)}`);
  assert.ok(first <= FIRST_BYTES_MAX, `the alerts page has ${kb(first)}, at most ${kb(FIRST_BYTES_MAX)}`);
  assert.ok(![...fetched].some((path) => path.includes("rest")), "another page's part is not fetched");
  assert.deepEqual(wrong, []);
  await close();
}
