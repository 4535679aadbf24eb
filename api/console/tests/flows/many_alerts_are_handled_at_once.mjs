// Filters in the address, groups, a choice of many, and what is done with all of them.
import assert from "node:assert/strict";

import { PHONE } from "../harness/browser.mjs";
import { alertRow } from "../harness/rows.mjs";

const FREEZERS = ["freezer-01", "freezer-02", "freezer-03"];

export default async function ({ openAs, fleet, live, accessible, shoot, url }) {
  const { page, close } = await openAs("otto", "/");
  const elsewhere = await openAs("vera", "/?rule=another");
  for (const freezer of [...FREEZERS, "clock-behind"]) fleet.warm(freezer);
  for (const freezer of FREEZERS) await alertRow(page, freezer, "firing").waitFor();

  // A list that is filtered tells aloud of what it shows, and counts all.
  const told = (tab) => tab.getByRole("log", { name: "New critical alerts" }).innerText();
  await elsewhere.page.waitForFunction(() => document.title.startsWith("4 critical"));
  assert.equal((await told(elsewhere.page)).trim(), "");
  assert.match(await told(page), /critical/i);
  await elsewhere.close();

  await page.getByLabel("Groups").selectOption("site");
  await page.waitForURL(/group=site/);
  const berlin = page.locator('[data-group="berlin"]');
  await berlin.getByText("3 in all, 3 unacknowledged").waitFor();
  await shoot(page, "alerts-grouped");
  await accessible(page, "grouped alerts");
  await berlin.getByRole("button").click();
  assert.equal(await alertRow(page, "freezer-01", "firing").count(), 0, "a folded group");
  await berlin.getByRole("checkbox").check();
  const bulk = page.getByRole("toolbar", { name: "With the chosen alerts" });
  await bulk.getByText("3 chosen").waitFor();
  await bulk.getByRole("button", { name: "Assign…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("To whom").fill("vera");
  await accessible(page, "the dialog of an assignment");
  await dialog.getByRole("button", { name: "Assign to vera" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText("3 alerts assigned to vera").waitFor();
  await berlin.getByRole("button").click();
  for (const freezer of FREEZERS) await alertRow(page, freezer, "firing").getByTitle("Assigned").getByText("vera").waitFor();
  await shoot(page, "alerts-chosen");

  await page.getByLabel("Groups").selectOption("");
  await page.getByRole("button", { name: "Labels" }).click();
  await page.getByLabel("Labels", { exact: true }).fill('device=~"freezer-0[12]"');
  await page.getByLabel("Labels", { exact: true }).press("Enter");
  await page.waitForURL(/labels=/);
  await alertRow(page, "freezer-03", "firing").waitFor({ state: "detached" });
  await bulk.getByRole("button", { name: "Clear" }).click();
  await page.getByLabel("Choose all that match").check();
  await bulk.getByText("2 chosen").waitFor();
  await bulk.getByRole("button", { name: "Comment…" }).click();
  await dialog.getByLabel("Comment").fill("Both doors are open");
  await dialog.getByRole("button", { name: "Comment", exact: true }).click();
  await page.getByText("2 alerts commented").waitFor();
  await bulk.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByText("2 alerts acknowledged").waitFor();
  await page.getByRole("button", { name: "Unacknowledged" }).click();
  await page.getByText("No alert matches").waitFor();
  await accessible(page, "no alert matches");
  await page.reload();
  await live(page);
  await page.getByText("No alert matches").waitFor();
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await alertRow(page, "freezer-03", "firing").waitFor();
  await close();

  // From row to row with shift, and by keys.
  const again = await openAs("otto", "/?sort=device");
  const box = (device) => alertRow(again.page, device, "firing").getByRole("checkbox");
  await box("freezer-01").click();
  await box("freezer-03").click({ modifiers: ["Shift"] });
  await again.page.getByText("3 chosen").waitFor();
  await again.page.keyboard.press("Escape");
  await again.page.getByRole("toolbar").waitFor({ state: "detached" });
  await again.page.keyboard.press("*");
  await again.page.getByText("4 chosen").waitFor();
  await again.page.keyboard.press("a");
  await again.page.getByText(/2 alerts acknowledged; 2 acknowledged already, by otto/).waitFor();
  await again.page.keyboard.press("?");
  await again.page.getByRole("dialog", { name: "Keys" }).getByText("Choose all up to this alert").waitFor();
  await shoot(again.page, "alert-keys");
  await again.page.goto(`${url}/?mine=1`);
  await alertRow(again.page, "clock-behind", "firing").waitFor();
  await again.close();

  const phone = await openAs("otto", "/", { viewport: PHONE, colorScheme: "dark" });
  await alertRow(phone.page, "freezer-01", "firing").waitFor();
  await phone.page.getByRole("button", { name: "Filters" }).click();
  await alertRow(phone.page, "freezer-01", "firing").getByRole("checkbox").check();
  await shoot(phone.page, "alerts-phone");
  await phone.page.setViewportSize({ width: 1000, height: 700 });
  await shoot(phone.page, "alerts-1000");
  await phone.page.setViewportSize(PHONE);
  await accessible(phone.page, "alerts on a phone");
  await phone.close();
}
