// Versions: who did what and when, the difference of two, and the way back. Disabling, deleting, and both
// taken back.
import assert from "node:assert/strict";

import { ruleRow, textOf, toml } from "../harness/rules.mjs";

export const settings = { fleet: false };

export default async function ({ openAs, service, accessible, shoot, url }) {
  await service.api("POST", "rules", { toml: toml("hot", 90), author: "bo", comment: "ovens burn" });
  const put = (limit, revision) =>
    service.api("PUT", "rules/hot", { toml: toml("hot", limit), author: "cy" }, { "if-match": `"${revision}"` });
  await put(80, 1);
  await put(70, 2);
  const { page, close } = await openAs("ada", "/rules/hot?tab=versions");
  const list = page.getByRole("list", { name: "Versions" });
  await list.getByText("ovens burn").waitFor();
  assert.equal(await list.getByRole("listitem").count(), 3);
  const difference = page.getByRole("region", { name: "Difference" });
  await difference.getByText('when = "heat > 70"').waitFor();
  assert.match(await difference.innerText(), /heat > 80/);
  await page.getByLabel("Version 3 against").selectOption({ label: "version 1" });
  await difference.getByText('when = "heat > 90"').waitFor();
  await accessible(page, "versions");
  await shoot(page, "versions");

  await list.getByRole("listitem").filter({ hasText: "ovens burn" }).getByRole("button", { name: "Restore" }).click();
  await page.getByRole("dialog", { name: "Restore version 1?" }).getByRole("button", { name: "Restore" }).click();
  await page.getByText("version 4, by ada").waitFor();
  await list.getByText("Back to version 1").waitFor();
  await page.getByRole("tab", { name: "Rule" }).click();
  await page.waitForFunction(() => document.querySelector("textarea")?.value.includes("heat > 90"));

  await page.getByRole("button", { name: "Disable" }).click();
  await page.locator("h1 ~ .standing.disabled").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.locator("h1 ~ .standing.enabled").waitFor();

  await page.getByRole("link", { name: "Rules" }).first().click();
  await page.getByLabel("Source").selectOption("api");
  await page.waitForURL(/\/rules\?source=api$/);
  assert.equal(await page.locator("[data-row]").count(), 1, "the file's rule is not shown");
  await ruleRow(page, "hot").getByRole("button", { name: "Disable hot" }).click();
  await page.getByLabel("State").selectOption("disabled");
  await ruleRow(page, "hot").getByText("disabled").waitFor();
  await ruleRow(page, "hot").getByRole("button", { name: "Delete hot" }).click();
  await page.getByRole("dialog", { name: "Delete hot?" }).getByRole("button", { name: "Delete" }).click();
  await page.getByText("No rule matches").waitFor();
  await page.getByText("hot is deleted").locator("..").getByRole("button", { name: "Undo" }).click();
  await page.getByText("hot is back").waitFor();
  await close();

  // A rule of the file is shown, and said where it is changed.
  const file = await openAs("ada", "/rules/freezer-too-warm");
  await file.page.getByText("This rule is in the rules file").waitFor();
  assert.equal(await textOf(file.page).getAttribute("readonly"), "");
  await shoot(file.page, "rule-of-file");
  await file.page.getByRole("link", { name: "Copy" }).click();
  await file.page.waitForFunction(() => document.querySelector("textarea")?.value.includes('"freezer-too-warm-copy"'));
  await file.close();

  const viewer = await openAs("vera", "/rules");
  await ruleRow(viewer.page, "hot").waitFor();
  assert.equal(await viewer.page.getByRole("button", { name: "Delete hot" }).count(), 0);
  assert.equal(await viewer.page.getByRole("link", { name: "New rule" }).count(), 0);
  await viewer.page.goto(`${url}/rules/new`);
  await viewer.page.getByText("This page needs another role").waitFor();
  await viewer.close();
}
