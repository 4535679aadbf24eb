// An alert fires on an open page, survives a reload and a restart of the service, and resolves.
import assert from "node:assert/strict";

import { alertRow } from "../harness/rows.mjs";

const DEVICE = "freezer-03";

export default async function ({ openAs, fleet, live, service, shoot }) {
  const { page, close } = await openAs("otto");
  await page.evaluate(() => (window.sameDocument = true));
  const firing = alertRow(page, DEVICE, "firing");
  assert.equal(await firing.count(), 0, "the freezer is well at first");

  fleet.warm(DEVICE);
  await firing.waitFor();
  assert.equal(await page.evaluate(() => window.sameDocument), true, "without a reload");
  assert.match(await firing.innerText(), /critical/i);
  assert.match(await page.title(), /^\d+ critical/);
  assert.match(await page.locator('link[rel="icon"]').getAttribute("href"), /critical-\d+\.svg$/);
  await page.waitForFunction(
    (device) => document.querySelector('[role="log"]')?.textContent.includes(device),
    DEVICE,
  );
  await shoot(page, "alert-fires");

  await page.reload();
  await firing.waitFor();

  const lost = Date.now();
  await service.stop();
  await page.locator("main.stale").waitFor();
  await page.getByText("Stale.", { exact: true }).waitFor();
  console.log(`  grey ${Date.now() - lost} ms after the service was asked to stop`);
  assert.match(await page.title(), /^stale/);
  assert.equal(await page.locator('link[rel="icon"]').getAttribute("href"), "/favicon-stale.svg");
  assert.equal(await firing.count(), 1, "what was known stays on the page");
  await shoot(page, "stale");

  await service.launch();
  await page.getByRole("button", { name: "Retry now" }).click({ timeout: 5000 }).catch(() => undefined);
  await live(page);
  await page.locator("main:not(.stale)").waitFor();
  await firing.waitFor();

  fleet.cool(DEVICE);
  await alertRow(page, DEVICE, "resolved").waitFor();
  assert.equal(await firing.count(), 0);
  await page.reload();
  await alertRow(page, DEVICE, "resolved").waitFor();
  await close();
}
