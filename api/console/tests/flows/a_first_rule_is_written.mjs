// From no rule to one that fires: an example, a mistake that is shown at its place and mended, completion,
// saving, and the alert.
import assert from "node:assert/strict";

import { alertRow } from "../harness/rows.mjs";
import { ruleRow, textOf } from "../harness/rules.mjs";

export const settings = { rules: "" };

export default async function ({ openAs, fleet, accessible, shoot, url }) {
  const { page, close } = await openAs("ada", "/rules");
  await page.getByText("There is no rule").waitFor();
  await shoot(page, "rules-empty");
  await page.getByRole("link", { name: "Make the first rule" }).click();
  await page.waitForURL(`${url}/rules/new`);
  await page.getByRole("button", { name: /^Threshold/ }).click();
  const text = textOf(page);
  await page.waitForFunction(() => document.querySelector("textarea").value.includes('when = "temperature > limit"'));
  await page.getByText("Valid: it watches 7 devices").waitFor();
  await shoot(page, "rule-new");

  // A slip: the service says where, and what would be right.
  await text.fill((await text.inputValue()).replace("temperature > limit", "temperature >> limit"));
  const wrong = page.getByRole("list", { name: "Mistakes" });
  await wrong.getByRole("button", { name: "Line 3, column 22" }).waitFor();
  assert.match(await wrong.innerText(), /unexpected `>`/);
  assert.match(await wrong.innerText(), /should be here/i);
  assert.equal(await page.getByRole("button", { name: "Make the rule" }).isDisabled(), true);
  await accessible(page, "a mistake in a rule");
  await shoot(page, "rule-mistake");
  await wrong.getByRole("button").click();
  assert.equal(await text.evaluate((it) => it.value.slice(it.selectionStart, it.selectionEnd)), ">", "the place is selected");
  await page.keyboard.press("Delete");
  await page.getByText("Valid: ").waitFor();

  // Completion: a function by its first letters, a metric within it.
  await text.evaluate((it) => {
    const at = it.value.indexOf("temperature >");
    it.setSelectionRange(at, at + "temperature > limit".length);
  });
  await page.keyboard.type("av");
  const offer = page.getByRole("listbox", { name: "What may stand here" });
  await offer.getByRole("option", { name: /^avg function/ }).waitFor();
  await page.getByText("the mean of the readings in the window").waitFor();
  await accessible(page, "completion");
  await shoot(page, "rule-completion");
  await page.keyboard.press("Enter");
  await page.keyboard.type("tempe");
  await offer.getByRole("option", { name: /^temperature/ }).waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.type(", 10");
  await offer.getByRole("option", { name: /^10s/ }).waitFor();
  await page.keyboard.press("Enter");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.type(" > limit");
  assert.match(await text.inputValue(), /when = "avg\(temperature, 10s\) > limit"/);

  // The form writes into the text, and the text shows in the form.
  await page.getByLabel("Name").fill("too-warm");
  await page.getByLabel("Parameters").fill("{ limit = -15 }");
  await page.getByLabel("For", { exact: true }).fill("1s");
  await page.getByLabel("Severity").selectOption("critical");
  await page.getByLabel("Devices", { exact: true }).fill("device =~ 'freezer-.*'");
  await page.getByText("3 devices now:").waitFor();
  assert.match(await text.inputValue(), /name = "too-warm"[^]*for = "1s"[^]*severity = "critical"[^]*select = "device =~ 'freezer-\.\*'"/);
  await text.fill((await text.inputValue()).replace('"1s"', '"2s"'));
  assert.equal(await page.getByLabel("For", { exact: true }).inputValue(), "2s");
  await page.getByText("Valid: it watches 3 devices").waitFor();

  // What is not saved is not lost by a slip.
  await page.getByRole("link", { name: "Devices" }).first().click();
  const leave = page.getByRole("dialog", { name: "Leave without saving?" });
  await leave.getByRole("button", { name: "Cancel" }).click();
  await page.evaluate(() => history.back());
  await leave.getByRole("button", { name: "Cancel" }).click();
  assert.equal(page.url().split("?")[0], `${url}/rules/new`);
  assert.match(await text.inputValue(), /too-warm/);
  await page.getByRole("button", { name: "Make the rule" }).click();
  await page.waitForURL(`${url}/rules/too-warm`);
  await page.getByText("version 1, by ada").waitFor();

  fleet.warm("freezer-02");
  await alertRow(page, "freezer-02", "firing").waitFor();
  await shoot(page, "rule");
  await page.getByRole("link", { name: "Rules" }).first().click();
  await ruleRow(page, "too-warm").getByText("1 firing").waitFor();
  await shoot(page, "rules");
  await close();
}
