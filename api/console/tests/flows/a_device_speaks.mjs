// From the list to one device: its values, its chart over several lengths of time, its account, and
// what is said of its clock.
import assert from "node:assert/strict";

import { deviceRow } from "../harness/rows.mjs";

const DEVICE = "freezer-03";

export default async function ({ openAs, live, url }) {
  const { page, close } = await openAs("vera");
  await page.getByRole("link", { name: "Devices" }).click();
  await page.getByLabel("Filter devices").fill(DEVICE);
  await page.waitForURL(/\/devices\?q=freezer-03$/);
  await deviceRow(page, DEVICE).getByRole("link").click();
  await live(page);
  const tile = page.locator('[data-metric="temperature"]');
  await tile.click();
  await page.locator('[data-metric="temperature"][aria-pressed="true"]').waitFor();
  await page.locator(".chart canvas").waitFor();
  await page.waitForFunction(() => /now -?\d/.test(document.querySelector(".chart").ariaLabel ?? ""));
  await page.getByText("balances").waitFor();
  for (const range of ["1 h", "24 h", "15 m"]) {
    await page.getByRole("button", { name: range, exact: true }).click();
    await page.waitForFunction(
      (range) => document.querySelector(".chart").ariaLabel?.includes(`last ${range}: now`),
      range,
    );
  }
  await page.goBack();
  await page.getByLabel("Filter devices").waitFor();
  assert.equal(await page.getByLabel("Filter devices").inputValue(), DEVICE, "the way back keeps the filter");

  await page.goto(`${url}/devices?q=clock-behind`);
  await deviceRow(page, "clock-behind").getByText("2 h 00 m behind").waitFor();
  await page.goto(`${url}/devices?q=${DEVICE}`);
  await deviceRow(page, DEVICE).waitFor();
  assert.equal(await deviceRow(page, DEVICE).getByText(/behind|ahead/).count(), 0, "a right clock is not spoken of");
  await close();
}
