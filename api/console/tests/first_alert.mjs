// Opens the console as somebody new does, and ends when it shows an alert, which it names; and says how long it takes
// from then on until a browser that knows nothing of the console has painted it.
//
//   node tests/first_alert.mjs http://127.0.0.1:8080/
import { launch, open } from "./harness/browser.mjs";

/** Longer than the demo's first freezer takes to be too warm. */
const PATIENCE_MS = 120_000;
const COLD_LOADS = 5;

const url = process.argv[2]?.replace(/\/$/, "");
if (url === undefined) throw new Error("usage: node tests/first_alert.mjs URL");
const browser = await launch();

/** Opens the console in a browser context of its own, whose cache is empty; until the alert is painted. */
async function look() {
  const { page, close } = await open(browser, url);
  const began = performance.now();
  await page.goto(`${url}/`, { waitUntil: "commit" });
  const row = page.locator('[data-alert][data-state="firing"]').first();
  await row.waitFor({ timeout: PATIENCE_MS });
  await page.evaluate(() => new Promise((painted) => requestAnimationFrame(() => setTimeout(painted))));
  const took = performance.now() - began;
  const text = (await row.innerText()).split(/\s*\n\s*/).filter(Boolean).join(", ");
  await close();
  return { took, text };
}

try {
  const { text } = await look();
  const cold = [];
  for (let n = 0; n < COLD_LOADS; n += 1) cold.push((await look()).took);
  const sorted = cold.toSorted((a, b) => a - b).map((ms) => ms.toFixed(0));
  console.log(`cold loads, until it is painted: ${sorted.join(", ")} ms`);
  console.log(`the alert: ${text}`);
} finally {
  await browser.close();
}
