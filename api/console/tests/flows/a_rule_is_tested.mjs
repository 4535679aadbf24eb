// Before a rule is saved: a test that says what is read, and what is expected of it.
import assert from "node:assert/strict";

import { textOf, toml } from "../harness/rules.mjs";

export const settings = { rules: "", fleet: false };

const RULES = [
  'when = "heat > 2000"\nfor = "10m"\n',
  `when = "avg(temperature, 5m) < limit - 2"\nfor = "90s"\nparams = { limit = -15 }\nselect = "kind = 'freezer' and device =~ 'freezer-.*'"\n`,
  'when = "speed < 900 and pressure > 2.5"\nfor = "30s"\n',
  'when = "rate(pulses, 5m) > 0.5"\nfor = "5m"\n',
  'when = "absent(heat, 10m)"\n',
  'levels = { warning = "heat > 80", critical = "heat > 90" }\n',
];

export default async function ({ openAs, service, accessible, shoot, url }) {
  await service.api("POST", "rules", { toml: toml("hot", 90), author: "bo" });
  const { page, close } = await openAs("ada", "/rules/hot");
  const panel = page.getByRole("region", { name: "Tests" });
  await panel.getByRole("button", { name: "Write a test" }).click();
  const tests = panel.getByLabel("Tests of this rule");
  assert.match(await tests.inputValue(), /heat = "81x3 99x1"[^]*rule = "hot"/);
  await panel.getByRole("button", { name: "Run tests" }).click();
  await panel.getByText("1 passed, 0 failed").waitFor();

  // The text that is written is what is tried.
  await textOf(page).fill(toml("hot", 2000));
  await panel.getByText("The text has changed since").waitFor();
  await panel.getByRole("button", { name: "Run tests" }).click();
  await panel.getByText("0 passed, 1 failed").waitFor();
  await panel.getByText(/expected {2}firing[^]*found {5}inactive/).waitFor();
  await accessible(page, "a rule's tests");
  await panel.scrollIntoViewIfNeeded();
  await shoot(page, "rule-tests");
  await panel.getByRole("button", { name: "it fires" }).click();
  assert.equal(await tests.evaluate((it) => it.value.slice(it.selectionStart, it.selectionEnd)), "[[test]]");

  await tests.fill((await tests.inputValue()).replace("state", "stat"));
  await panel.getByRole("button", { name: "Run tests" }).click();
  await panel.getByText("unknown key `stat`").waitFor();
  await panel.getByRole("button", { name: /^Line \d+/ }).first().click();
  await textOf(page).fill(toml("hot", 90));
  await page.reload();
  assert.match(await tests.inputValue(), /stat = "firing"/, "what was run last is kept");

  // What a test begins with passes, whatever the rule's limits are.
  for (const more of RULES) {
    await page.goto(`${url}/rules/new?from=threshold`);
    // What was said of the example is not taken for what is said of this one.
    await textOf(page).fill("[[rule]]\n");
    await page.getByText("Valid: ").waitFor({ state: "hidden" });
    await textOf(page).fill(`[[rule]]\nname = "r"\n${more}`);
    await page.getByText("Valid: ").waitFor();
    await panel.getByRole("button", { name: "Write a test" }).click();
    await panel.getByRole("button", { name: "Run tests" }).click();
    await panel.getByText(/^\d passed/).filter({ hasText: "1 passed, 0 failed" }).waitFor().catch(async () => assert.fail(`${more}\n${await panel.innerText()}`));
    await page.evaluate(() => localStorage.removeItem("bellwire.tests.r"));
    await textOf(page).fill("");
  }
  await close();
}
