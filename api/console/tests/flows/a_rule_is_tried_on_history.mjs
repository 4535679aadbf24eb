// Before a change is saved: what it would have said, how that differs from the rule in force, and one
// device's readings.
import assert from "node:assert/strict";

import { PHONE } from "../harness/browser.mjs";
import { seedOvens, stored, textOf, toml } from "../harness/rules.mjs";

export const settings = { rules: "", fleet: false };

export default async function ({ openAs, service, accessible, shoot }) {
  await seedOvens(service);
  await stored(service, "oven-1", 121);
  await service.api("POST", "rules", { toml: toml("hot", 90), author: "bo" });
  const { page, close } = await openAs("ada", "/rules/hot", { colorScheme: "dark" });
  const panel = page.getByRole("region", { name: "Backtest" });
  await panel.getByRole("button", { name: "6 h", exact: true }).click();
  // One that takes too long is given up.
  await page.route("**/backtest", () => undefined);
  await panel.getByRole("button", { name: "Run backtest" }).click();
  await panel.getByText("Beginning…").waitFor();
  await panel.getByRole("button", { name: "Cancel" }).click();
  await panel.getByRole("button", { name: "Run backtest" }).waitFor();
  assert.equal(await panel.getByRole("alert").count(), 0, "giving up is no failure");
  await page.unroute("**/backtest");

  await panel.getByRole("button", { name: "Run backtest" }).click();
  const fact = (name) => panel.getByRole("definition").filter({ has: page.locator(`xpath=../dt[text()="${name}"]`) });
  await fact("fired").filter({ hasText: "1×" }).waitFor();
  await fact("judged").filter({ hasText: "242 readings" }).waitFor();
  assert.equal(await panel.getByText("Against the rule in force").count(), 0, "nothing else is tried");

  const text = textOf(page);
  await text.fill(toml("hot", 80));
  await panel.getByText("The text has changed since").waitFor();
  await panel.getByRole("button", { name: "Run backtest" }).click();
  await panel.getByText("1 new", { exact: true }).waitFor();
  await panel.getByText("0 gone", { exact: true }).waitFor();
  const rows = panel.getByRole("region", { name: "Times that it would have fired" }).locator("tbody tr");
  assert.equal(await rows.count(), 2);
  assert.match(await rows.nth(0).innerText(), /oven-1[^]*10 m 00 s[^]*95[^]*same/);
  assert.match(await rows.nth(1).innerText(), /oven-1[^]*5 m 00 s[^]*85[^]*new/);

  await panel.locator('[data-strip="oven-1"]').click();
  await panel.getByText("limits 80").waitFor();
  await panel.locator(".chart canvas").waitFor();
  await accessible(page, "a backtest");
  await panel.scrollIntoViewIfNeeded();
  await shoot(page, "backtest-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await panel.evaluate((it) => it.scrollIntoView());
  await shoot(page, "backtest-light");
  await page.setViewportSize(PHONE);
  await accessible(page, "a backtest on a phone");
  await panel.evaluate((it) => it.scrollIntoView());
  await shoot(page, "backtest-phone");
  await page.setViewportSize({ width: 1280, height: 800 });

  await page.getByLabel("Why", { exact: true }).fill("earlier");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("version 2, by ada").waitFor();

  // A rule that is not there yet.
  await page.getByRole("link", { name: "Rules" }).first().click();
  await page.getByRole("link", { name: "New rule" }).click();
  await page.getByRole("button", { name: /^No data/ }).click();
  await textOf(page).fill(toml("warm", 60));
  await page.getByText("Valid: ").waitFor();
  await panel.getByRole("button", { name: "6 h", exact: true }).click();
  await panel.getByRole("button", { name: "Run backtest" }).click();
  await panel.getByText("Against nothing: this rule is new.").waitFor();
  assert.equal(await panel.getByText("the rule in force").count(), 0);
  await panel.getByText("not within this time").waitFor();
  assert.equal(await rows.count(), 1);
  await page.getByRole("link", { name: "Rules" }).first().click();
  await page.getByRole("dialog", { name: "Leave without saving?" }).getByRole("button", { name: "Leave" }).click();
  await page.getByRole("heading", { name: "Rules" }).waitFor();
  await close();

  // Who only looks may not take everybody's turn.
  const viewer = await openAs("vera", "/rules/hot");
  await viewer.page.getByText("Rules are changed by admins").waitFor();
  assert.equal(await viewer.page.getByRole("button", { name: "Run backtest" }).count(), 0);
  await viewer.close();
  const operator = await openAs("otto", "/rules/hot");
  await operator.page.getByRole("button", { name: "6 h", exact: true }).click();
  await operator.page.getByRole("button", { name: "Run backtest" }).click();
  await operator.page.getByText("2×").waitFor();
  await operator.close();
}
