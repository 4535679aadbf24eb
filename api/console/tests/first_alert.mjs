// Opens the console as somebody new does, and ends when it shows an alert, which it names.
//
//   node tests/first_alert.mjs http://127.0.0.1:8080/
import { launch, open } from "./harness/browser.mjs";

/** Longer than the demo's first freezer takes to be too warm. */
const PATIENCE_MS = 120_000;

const url = process.argv[2]?.replace(/\/$/, "");
if (url === undefined) throw new Error("usage: node tests/first_alert.mjs URL");
const browser = await launch();
try {
  const { page, close } = await open(browser, url);
  await page.goto(`${url}/`);
  const row = page.locator(`[data-alert][data-state="firing"]`).first();
  await row.waitFor({ timeout: PATIENCE_MS });
  console.log(`the alert: ${(await row.innerText()).split(/\s*\n\s*/).filter(Boolean).join(", ")}`);
  await close();
} finally {
  await browser.close();
}
