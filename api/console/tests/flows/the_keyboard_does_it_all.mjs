// Without a mouse: pages by keys, the palette, help, preferences that stay, and the kiosk.
import assert from "node:assert/strict";

import { PHONE } from "../harness/browser.mjs";

export default async function ({ openAs, live, accessible, shoot, url }) {
  const { page, close } = await openAs("otto", "/", { colorScheme: "dark" });
  await page.keyboard.press("g");
  await page.keyboard.press("d");
  await page.getByRole("heading", { name: "Devices" }).waitFor();
  await page.getByRole("link", { name: "pump-01" }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("g a pump");
  assert.equal(await page.getByLabel("Filter devices").inputValue(), "g a pump", "who writes, writes");
  await page.getByLabel("Filter devices").blur();

  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys" });
  await help.getByText("Go to Alerts").waitFor();
  await accessible(page, "the keys");
  await page.keyboard.press("Escape");
  await help.waitFor({ state: "detached" });

  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "What to find or do" }).waitFor();
  await accessible(page, "the palette");
  await shoot(page, "palette");
  await page.keyboard.type("alerts");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/`);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("pump-01");
  await page.getByRole("option", { name: "pump-01" }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/devices/pump-01`);

  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("preferences");
  await page.keyboard.press("Enter");
  await page.getByLabel("Theme").selectOption("light");
  assert.notEqual(await ground(), dark);
  await page.getByLabel("Time zone").selectOption("site");
  await page.getByLabel("The site's time zone").fill("Atlantis/Sea");
  await page.getByText("No such time zone").waitFor();
  await page.getByLabel("The site's time zone").fill("Asia/Tokyo");
  await page.getByLabel("The site's time zone").blur();
  await accessible(page, "the preferences");
  await shoot(page, "preferences");
  await page.keyboard.press("Escape");
  await page.reload();
  await live(page);
  assert.notEqual(await ground(), dark, "the choice survives a reload");

  await page.goto(`${url}/?kiosk=1`);
  await page.getByRole("heading", { name: "Alerts" }).waitFor({ state: "attached" });
  assert.equal(await page.locator("header").count(), 0, "a kiosk has no header");
  await page.keyboard.press("g");
  await page.keyboard.press("d");
  await page.waitForURL(`${url}/devices?kiosk=1`);
  await close();

  const phone = await openAs("vera", "/", { viewport: PHONE });
  await phone.page.getByRole("button", { name: "vera, viewer" }).press("ArrowDown");
  await phone.page.getByRole("menuitem", { name: "Preferences" }).waitFor();
  await accessible(phone.page, "a menu on a phone");
  await phone.page.keyboard.press("Escape");
  assert.equal(await phone.page.getByRole("menu").count(), 0);
  await phone.close();
}
