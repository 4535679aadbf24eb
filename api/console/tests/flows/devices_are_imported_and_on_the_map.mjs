// An admin pastes devices of which one line is bad, leaves it out, and finds them on the map, which keys
// alone can use.
import assert from "node:assert/strict";

import { PHONE, WIDE } from "../harness/browser.mjs";
import { deviceRow } from "../harness/rows.mjs";

const CSV = `device,site,lat,lon
freezer-02,berlin,52.52,13.40
mill-01,potsdam,52.39,13.06
mill/02,potsdam,52.39,13.06
mill-03,sydney,-33.87,151.21
mill-04,sydney,-33.87,151.21`;

export default async function ({ openAs, fleet, service, live, accessible, shoot, url }) {
  fleet.warm("freezer-02");
  const { page, close } = await openAs("ada", "/devices");
  await page.getByRole("button", { name: "Import" }).click();
  const dialog = page.getByRole("dialog", { name: "Import devices" });
  await dialog.getByLabel("Devices").fill(CSV);
  await dialog.getByText("line 4").waitFor();
  await dialog.getByText("“mill/02” is no device").waitFor();
  await dialog.getByText("3 new, 1 with other labels, 0 as they are.").waitFor();
  const send = dialog.getByRole("button", { name: "Import 4 devices" });
  assert.equal(await send.isDisabled(), true, "a bad line is not left out unasked");
  await accessible(page, "an import with a bad line");
  await shoot(page, "import");
  await dialog.getByLabel("Leave these lines out").check();
  await send.click();
  await dialog.waitFor({ state: "detached" });
  await deviceRow(page, "mill-01").getByText("never").waitFor();
  const { labels } = await service.api("GET", "devices/freezer-02");
  assert.deepEqual([labels.lat, labels.kind], ["52.52", "freezer"], "labels come beside those that there are");

  await page.getByRole("button", { name: "Add a device" }).click();
  await page.getByLabel("Name", { exact: true }).fill("freezer-02");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("There is a device “freezer-02” already").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("mill-05");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.waitForURL(`${url}/devices/mill-05`);
  await page.getByText("It has not said anything yet").waitFor();

  await page.goto(`${url}/devices`);
  await live(page);
  await page.getByRole("button", { name: "Map" }).click();
  await page.waitForURL(/view=map/);
  await page.getByText(/^4 devices on the map; \d+ without place$/).waitFor();
  const germany = page.getByRole("button", { name: "2 devices, critical" });
  const australia = page.getByRole("button", { name: "2 devices, no alerts" });
  await germany.waitFor();
  await australia.waitFor();
  await accessible(page, "the map");
  await shoot(page, "map");
  await germany.focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "2 devices, no alerts", "arrows go from point to point");
  await page.keyboard.press("Enter");
  await page.getByText("At one spot").waitFor();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "freezer-02, critical" }).waitFor();
  await shoot(page, "map-near");
  await page.keyboard.press("0");
  await germany.waitFor();
  await germany.focus();
  await page.keyboard.press("+");
  await page.keyboard.press("-");
  await page.keyboard.press("Shift+ArrowLeft");
  await page.getByRole("button", { name: "Show all" }).click();
  await germany.click();
  await page.getByRole("button", { name: "freezer-02, critical" }).click();
  await page.waitForURL(`${url}/devices/freezer-02`);
  await close();

  for (const [colorScheme, viewport] of [["light", WIDE], ["dark", PHONE]]) {
    const tab = await openAs("vera", "/devices?view=map", { colorScheme, viewport });
    await tab.page.getByRole("button", { name: "2 devices, critical" }).waitFor();
    await accessible(tab.page, `the map, ${colorScheme}`);
    await shoot(tab.page, `map-${colorScheme}-${viewport.width}`);
    await tab.close();
  }
}
