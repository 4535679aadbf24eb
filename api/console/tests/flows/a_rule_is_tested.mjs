// Before a rule is saved: a test that says what is read, and what is expected of it.
import assert from "node:assert/strict";

import { textOf, toml } from "../harness/rules.mjs";

export const settings = { rules: "", fleet: false };

export default async function ({ openAs, service, accessible, shoot }) {
  await service.api("POST", "rules", { toml: toml("hot", 90), author: "bo" });
  const { page, close } = await openAs("ada", "/rules/hot");
  const panel = page.getByRole("region", { name: "Tests" });
  await panel.getByRole("button", { name: "Write a test" }).click();
  const tests = panel.getByLabel("Tests of this rule");
  assert.match(await tests.inputValue(), /heat = "0x3 1000x30"[^]*rule = "hot"/);
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
  await close();
}
