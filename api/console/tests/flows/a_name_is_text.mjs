// A device's name is never more than text.
import assert from "node:assert/strict";

import { NASTY } from "../harness/fleet.mjs";

export default async function ({ openAs, shoot }) {
  const { page, close } = await openAs("vera", "/devices?q=onerror");
  await page.getByRole("link", { name: NASTY }).click();
  await page.getByRole("heading", { level: 1, name: NASTY }).waitFor();
  await page.locator('[data-metric="temperature"]').waitFor();
  await shoot(page, "device-hostile-name");
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("img").count(), 0);
  await close();
}
