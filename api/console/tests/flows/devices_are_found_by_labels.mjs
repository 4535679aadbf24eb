// An operator narrows ten thousand devices to one: by a label, a matcher, presence and alerts; gathers
// and orders them; and the address keeps it all.
import assert from "node:assert/strict";

import { PHONE } from "../harness/browser.mjs";
import { deviceRow } from "../harness/rows.mjs";

const rows = (page) => page.locator("[data-row]").evaluateAll((rows) => rows.map((row) => row.dataset.row));

export default async function ({ openAs, fleet, accessible, shoot, url }) {
  fleet.warm("freezer-02");
  const { page, close } = await openAs("vera", "/devices");
  await deviceRow(page, "freezer-02").getByText("critical").waitFor({ state: "attached" });
  assert.equal((await rows(page))[0], "freezer-02", "alerts come first");
  assert.equal(await page.getByRole("button", { name: "Add a device" }).count(), 0, "a viewer does not add");

  await deviceRow(page, "freezer-01").getByRole("button", { name: "kind=freezer" }).click();
  await page.waitForURL(/match=kind%3D%22freezer%22/);
  await page.getByText(/^3 of \d+$/).waitFor();
  assert.equal(await page.getByLabel("Kind", { exact: true }).inputValue(), "freezer");
  await page.getByLabel("Label matchers").fill('device=~".*-0[12]" site="berlin"');
  await page.getByLabel("Label matchers").press("Enter");
  await page.getByText(/^2 of \d+$/).waitFor();
  await page.getByLabel("Alerts", { exact: true }).selectOption("critical");
  await page.getByText(/^1 of \d+$/).waitFor();
  assert.deepEqual(await rows(page), ["freezer-02"]);

  await page.goto(`${url}/devices?by=kind&order=name`);
  await page.locator('[data-group="freezer"]').waitFor();
  await page.locator('[data-group="freezer"]').press("Enter");
  await deviceRow(page, "freezer-01").waitFor({ state: "detached" });
  await deviceRow(page, "pump-01").waitFor();
  await page.locator('[data-group="freezer"]').press("Enter");
  await deviceRow(page, "freezer-01").waitFor();

  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("menuitem", { name: "speed" }).click();
  await page.waitForURL(/m=speed/);
  await deviceRow(page, "pump-01").getByText("1450").waitFor();
  await page.getByRole("columnheader", { name: "speed" }).getByRole("button").click();
  await page.waitForURL(/order=m%3Aspeed/);
  assert.equal(await page.getByRole("columnheader", { name: "speed" }).getAttribute("aria-sort"), "ascending");
  await page.goto(`${url}/devices?m=speed&order=m%3Aspeed`);
  await page.waitForFunction(() => document.querySelector("[data-row]")?.dataset.row === "pump-01");
  await accessible(page, "devices with a column and an order");
  await shoot(page, "devices-column");
  await page.goto(`${url}/devices?q=nothing-like-it`);
  await page.getByRole("button", { name: "Show all devices" }).click();
  await deviceRow(page, "freezer-01").getByRole("link").click();
  await page.waitForURL(`${url}/devices/freezer-01`);
  await page.getByRole("link", { name: "site=berlin" }).click();
  await page.waitForURL(/\/devices\?match=site%3D%22berlin%22/);
  await close();

  const phone = await openAs("vera", "/devices", { viewport: PHONE });
  await phone.page.getByRole("button", { name: "Filters" }).click();
  await phone.page.getByLabel("Order").selectOption("name");
  await phone.page.waitForURL(/order=name/);
  await accessible(phone.page, "the filters on a phone");
  await shoot(phone.page, "devices-filters-phone");
  await phone.close();
}
